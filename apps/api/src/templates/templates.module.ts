import { Module } from '@nestjs/common';
import { DrvmsModule } from '../drvms/drvms.module.js';
import { ImportPlanner } from './import-planner.js';
import { TemplatesController } from './templates.controller.js';
import { TemplatesService } from './templates.service.js';

@Module({
  imports: [DrvmsModule],
  controllers: [TemplatesController],
  providers: [TemplatesService, ImportPlanner],
  exports: [TemplatesService],
})
export class TemplatesModule {}
