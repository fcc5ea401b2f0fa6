import { Module } from '@nestjs/common';
import { LinksModule } from '../agents/links.module.js';
import { PowerCoreModule } from '../power/power-core.module.js';
import { SliceChangesModule } from '../reconfigure/slice-changes.module.js';
import { MaintenancePerformer } from './maintenance-performer.js';
import { NodePlans } from './node-plans.js';
import { OperationAdmission } from './operation-admission.js';
import { OperationLogs } from './operation-logs.js';
import { OperationQueue } from './operation-queue.js';
import { OperationRunner } from './operation-runner.js';
import { OperationsController } from './operations.controller.js';
import { OperationsService } from './operations.service.js';
import { PlanPerformer } from './plan-performer.js';
import { PlanSlices } from './plan-slices.js';
import { StepPerformer } from './step-performer.js';

@Module({
  imports: [LinksModule, PowerCoreModule, SliceChangesModule],
  controllers: [OperationsController],
  providers: [
    OperationsService,
    OperationAdmission,
    OperationLogs,
    OperationQueue,
    OperationRunner,
    MaintenancePerformer,
    NodePlans,
    PlanPerformer,
    PlanSlices,
    StepPerformer,
  ],
  exports: [NodePlans, OperationsService, OperationLogs],
})
export class OperationsModule {}
