import { Module } from '@nestjs/common';
import { OperationsModule } from '../operations/operations.module.js';
import { PowerCoreModule } from '../power/power-core.module.js';
import { TelemetryModule } from '../telemetry/telemetry.module.js';
import { UsageModule } from '../usage/usage.module.js';
import { AgentJobProcessor } from './agent-jobs.js';
import { AgentsService } from './agents.service.js';
import { BurnIn } from './burn-in.js';
import { EnrolmentController } from './enrolment.controller.js';
import { EnrolmentService } from './enrolment.service.js';
import { LinksModule } from './links.module.js';
import { NodeReports } from './node-reports.js';
import { NodeSlices } from './node-slices.js';
import { NodeWatch } from './node-watch.js';
import { Reconciliation } from './reconciliation.js';

@Module({
  imports: [LinksModule, TelemetryModule, UsageModule, OperationsModule, PowerCoreModule],
  controllers: [EnrolmentController],
  providers: [
    AgentsService,
    AgentJobProcessor,
    BurnIn,
    EnrolmentService,
    NodeReports,
    NodeSlices,
    NodeWatch,
    Reconciliation,
  ],
  exports: [AgentsService],
})
export class AgentsModule {}
