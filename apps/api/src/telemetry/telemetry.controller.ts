import type { TelemetryView } from '@drvs/contracts';
import { Controller, Get, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { Endpoint } from '../openapi/endpoint.js';
import { TelemetryAnswer } from '../openapi/watch-answers.js';
import { TelemetryQuery, TelemetryService } from './telemetry.service.js';

@ApiTags('telemetry')
@Controller('api/v1/telemetry')
export class TelemetryController {
  constructor(private readonly telemetry: TelemetryService) {}

  @Get()
  @Endpoint({
    summary: 'What was measured over time, of nodes or of a DRVM on its nodes',
    description:
      'Without `step` about 240 points. The step becomes longer where what is asked for is kept in longer steps only.',
    query: TelemetryQuery,
    answer: TelemetryAnswer,
    problems: ['NotFound'],
  })
  history(
    @CurrentActor() actor: Actor,
    @Query(new ZodPipe(TelemetryQuery)) query: TelemetryQuery,
  ): Promise<TelemetryView> {
    return this.telemetry.history(actor, query);
  }
}
