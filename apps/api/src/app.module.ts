import { type DynamicModule, Module } from '@nestjs/common';
import { AgentsModule } from './agents/agents.module.js';
import { AlertsModule } from './alerts/alerts.module.js';
import { AllocationsModule } from './allocations/allocations.module.js';
import { ApiProcessesModule } from './api-processes/api-processes.module.js';
import { AuditModule } from './audit/audit.module.js';
import { AuthModule } from './auth/auth.module.js';
import type { Config } from './config/config.js';
import { ConfigModule } from './config/config.module.js';
import type { SecretBox } from './config/secret-box.js';
import { DatabaseModule } from './database/database.module.js';
import { DrvmsModule } from './drvms/drvms.module.js';
import { EnergyModule } from './energy/energy.module.js';
import { EventStreamModule } from './event-stream/event-stream.module.js';
import { EventsModule } from './events/events.module.js';
import { FailureModule } from './failure/failure.module.js';
import { FilesModule } from './files/files.module.js';
import { FirstStartModule } from './first-start/first-start.module.js';
import { GraphqlModule } from './graphql/graphql.module.js';
import { HealthModule } from './health/health.module.js';
import { JobsModule } from './jobs/jobs.module.js';
import { LeasesModule } from './leases/leases.module.js';
import { MailModule } from './mail/mail.module.js';
import { MaintenanceModule } from './maintenance/maintenance.module.js';
import { MetricsModule } from './metrics/metrics.module.js';
import { NodesModule } from './nodes/nodes.module.js';
import { OperationsModule } from './operations/operations.module.js';
import { PlansModule } from './plans/plans.module.js';
import { PowerModule } from './power/power.module.js';
import { ProcessesModule } from './processes/processes.module.js';
import { RateLimitsModule } from './rate-limits/rate-limits.module.js';
import { ReconfigureModule } from './reconfigure/reconfigure.module.js';
import { SchedulesModule } from './schedules/schedules.module.js';
import { SettingsModule } from './settings/settings.module.js';
import { TelemetryModule } from './telemetry/telemetry.module.js';
import { TemplatesModule } from './templates/templates.module.js';
import { TenantsModule } from './tenants/tenants.module.js';
import { TokensModule } from './tokens/tokens.module.js';
import { UsageModule } from './usage/usage.module.js';
import { UsersModule } from './users/users.module.js';
import { WebhooksModule } from './webhooks/webhooks.module.js';

@Module({})
export class AppModule {
  static with(config: Config, secretBox: SecretBox): DynamicModule {
    return {
      module: AppModule,
      imports: [
        ConfigModule.with(config, secretBox),
        DatabaseModule,
        AuditModule,
        AuthModule,
        EventsModule,
        FirstStartModule,
        SettingsModule,
        RateLimitsModule,
        HealthModule,
        JobsModule,
        ApiProcessesModule,
        MaintenanceModule,
        MetricsModule,
        TenantsModule,
        UsersModule,
        TokensModule,
        NodesModule,
        AllocationsModule,
        DrvmsModule,
        TelemetryModule,
        UsageModule,
        AgentsModule,
        LeasesModule,
        TemplatesModule,
        OperationsModule,
        ProcessesModule,
        FilesModule,
        PlansModule,
        EnergyModule,
        PowerModule,
        FailureModule,
        SchedulesModule,
        ReconfigureModule,
        EventStreamModule,
        WebhooksModule,
        AlertsModule,
        MailModule,
        GraphqlModule,
      ],
    };
  }
}
