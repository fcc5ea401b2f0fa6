import type { PlannerSettingsView } from '@drvs/contracts';
import { Body, Controller, Get, Patch } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { IfMatch } from '../http/etag.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { Endpoint } from '../openapi/endpoint.js';
import { PlannerSettingsAnswer } from '../openapi/schedule-answers.js';
import { PlannerChange } from './planner-settings.js';
import { PlannerSettings } from './planner-settings.service.js';

@ApiTags('plans')
@Controller('api/v1/planner')
export class PlannerSettingsController {
  constructor(private readonly settings: PlannerSettings) {}

  @Get()
  @Endpoint({
    summary: 'What the planners go by: which act by themselves, when, and by which values',
    answer: PlannerSettingsAnswer,
  })
  show(@CurrentActor() actor: Actor): Promise<PlannerSettingsView> {
    return this.settings.show(actor);
  }

  @Patch()
  @Endpoint({
    summary: 'Change some of it; null puts a value back to its default. What contradicts itself is refused',
    body: PlannerChange,
    answer: PlannerSettingsAnswer,
    ifMatch: true,
    idempotent: true,
  })
  change(
    @CurrentActor() actor: Actor,
    @Body(new ZodPipe(PlannerChange)) change: PlannerChange,
    @IfMatch() generation: number | null,
  ): Promise<PlannerSettingsView> {
    return this.settings.change(actor, change, generation);
  }
}
