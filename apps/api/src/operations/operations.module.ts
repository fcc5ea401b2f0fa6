import { Module } from '@nestjs/common';
import { LinksModule } from '../agents/links.module.js';
import { OperationQueue } from './operation-queue.js';
import { OperationRunner } from './operation-runner.js';
import { OperationsController } from './operations.controller.js';
import { OperationsService } from './operations.service.js';
import { PlanPerformer } from './plan-performer.js';
import { StepPerformer } from './step-performer.js';

@Module({
  imports: [LinksModule],
  controllers: [OperationsController],
  providers: [OperationsService, OperationQueue, OperationRunner, PlanPerformer, StepPerformer],
  exports: [OperationsService],
})
export class OperationsModule {}
