import { Module } from '@nestjs/common';
import { OperationsModule } from '../operations/operations.module.js';
import { CandidatesController } from './candidates.controller.js';
import { CandidatesService } from './candidates.service.js';
import { DrvmsController } from './drvms.controller.js';
import { DrvmsService } from './drvms.service.js';
import { QueueService } from './queue.service.js';

@Module({
  imports: [OperationsModule],
  controllers: [DrvmsController, CandidatesController],
  providers: [DrvmsService, CandidatesService, QueueService],
  exports: [DrvmsService, CandidatesService, QueueService],
})
export class DrvmsModule {}
