import { Module } from '@nestjs/common';
import { PlansModule } from '../plans/plans.module.js';
import { PowerCoreModule } from '../power/power-core.module.js';
import { EnergyController } from './energy.controller.js';
import { EnergyService } from './energy.service.js';
import { EnergySampler } from './energy-sampler.js';
import { NodeDraws } from './node-draws.js';

@Module({
  imports: [PlansModule, PowerCoreModule],
  controllers: [EnergyController],
  providers: [EnergySampler, EnergyService, NodeDraws],
  exports: [EnergyService, NodeDraws],
})
export class EnergyModule {}
