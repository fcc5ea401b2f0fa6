import { Module } from '@nestjs/common';
import { TelemetryController } from './telemetry.controller.js';
import { TelemetryService } from './telemetry.service.js';
import { TelemetryIngest } from './telemetry-ingest.js';
import { TelemetryRollup } from './telemetry-rollup.js';

@Module({
  controllers: [TelemetryController],
  // The roll-up first: it makes the cuts that the first sample is written to.
  providers: [TelemetryRollup, TelemetryIngest, TelemetryService],
  exports: [TelemetryIngest, TelemetryRollup, TelemetryService],
})
export class TelemetryModule {}
