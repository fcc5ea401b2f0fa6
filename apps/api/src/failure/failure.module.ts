import { Module } from '@nestjs/common';
import { PlansModule } from '../plans/plans.module.js';
import { PowerCoreModule } from '../power/power-core.module.js';
import { FailureSettings } from './failure-settings.js';
import { FailureWatch } from './failure-watch.js';
import { FailuresController } from './failures.controller.js';
import { FailuresService } from './failures.service.js';
import { Witnesses } from './witnesses.js';

/** Nodes that fall silent: suspicion, proof, and what is done then. */
@Module({
  imports: [PlansModule, PowerCoreModule],
  controllers: [FailuresController],
  providers: [FailureSettings, FailureWatch, FailuresService, Witnesses],
  exports: [FailureSettings, FailuresService],
})
export class FailureModule {}
