import { Module } from '@nestjs/common';
import { OperationsModule } from '../operations/operations.module.js';
import { CandidatesController } from './candidates.controller.js';
import { CandidatesService } from './candidates.service.js';
import { DrvmRulesController } from './drvm-rules.controller.js';
import { DrvmRules } from './drvm-rules.service.js';
import { DrvmsController } from './drvms.controller.js';
import { DrvmsService } from './drvms.service.js';
import { QueueService } from './queue.service.js';

@Module({
  imports: [OperationsModule],
  controllers: [DrvmsController, DrvmRulesController, CandidatesController],
  providers: [DrvmsService, DrvmRules, CandidatesService, QueueService],
  exports: [DrvmsService, DrvmRules, CandidatesService, QueueService],
})
export class DrvmsModule {}
