import { Module } from '@nestjs/common';
import { AgentsModule } from '../agents/agents.module.js';
import { OperationsModule } from '../operations/operations.module.js';
import { DrainsController } from './drains.controller.js';
import { LiveStates } from './live-state.service.js';
import { PlansController } from './plans.controller.js';
import { PlansService } from './plans.service.js';

/** Plans of the running cluster: made by the planners of libs/policy, carried out as operations. */
@Module({
  imports: [AgentsModule, OperationsModule],
  controllers: [PlansController, DrainsController],
  providers: [LiveStates, PlansService],
  exports: [PlansService],
})
export class PlansModule {}
