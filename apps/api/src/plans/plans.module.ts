import { Module } from '@nestjs/common';
import { AgentsModule } from '../agents/agents.module.js';
import { OperationsModule } from '../operations/operations.module.js';
import { PowerCoreModule } from '../power/power-core.module.js';
import { DrainsController } from './drains.controller.js';
import { LiveStates } from './live-state.service.js';
import { LoadMarks } from './load-marks.js';
import { MaintenanceController } from './maintenance.controller.js';
import { NodeMaintenance } from './node-maintenance.service.js';
import { PlannerLoop } from './planner-loop.js';
import { PlannerSettingsController } from './planner-settings.controller.js';
import { PlannerSettings } from './planner-settings.service.js';
import { PlansController } from './plans.controller.js';
import { PlansService } from './plans.service.js';

/** Plans of the running cluster: made by the planners of libs/policy, carried out as operations. */
@Module({
  imports: [AgentsModule, OperationsModule, PowerCoreModule],
  controllers: [PlansController, DrainsController, MaintenanceController, PlannerSettingsController],
  providers: [LiveStates, LoadMarks, PlannerSettings, PlannerLoop, PlansService, NodeMaintenance],
  exports: [LiveStates, NodeMaintenance, PlansService, PlannerSettings],
})
export class PlansModule {}
