import { Module } from '@nestjs/common';
import { DemandForecast } from './demand-forecast.js';
import { HeartbeatEnergy } from './heartbeat-energy.js';
import { LocalNodes } from './local-nodes.js';
import { PowerService } from './power.service.js';
import { PowerPerformer } from './power-performer.js';
import { PowerWatch } from './power-watch.js';

/** How nodes are switched. Apart from who may ask for it, which needs the operations that need this. */
@Module({
  providers: [DemandForecast, HeartbeatEnergy, LocalNodes, PowerService, PowerPerformer, PowerWatch],
  exports: [DemandForecast, HeartbeatEnergy, LocalNodes, PowerService, PowerPerformer],
})
export class PowerCoreModule {}
