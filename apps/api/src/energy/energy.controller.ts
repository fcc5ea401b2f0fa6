import type { EnergyRecommendationsView, EnergyReportView } from '@drvs/contracts';
import { Controller, Get } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { Endpoint } from '../openapi/endpoint.js';
import { EnergyRecommendationsAnswer, EnergyReportAnswer } from '../openapi/power-answers.js';
import { EnergyService } from './energy.service.js';

@ApiTags('energy')
@Controller('api/v1/energy')
export class EnergyController {
  constructor(private readonly energy: EnergyService) {}

  @Get()
  @Endpoint({
    summary:
      'What is drawn now, was drawn today and this month, by whom, and what was saved against all nodes on',
    answer: EnergyReportAnswer,
  })
  report(@CurrentActor() actor: Actor): Promise<EnergyReportView> {
    return this.energy.report(actor);
  }

  @Get('recommendations')
  @Endpoint({
    summary:
      'What could be emptied and switched off now, with reasons; it looks at the running cluster first',
    answer: EnergyRecommendationsAnswer,
  })
  recommendations(@CurrentActor() actor: Actor): Promise<EnergyRecommendationsView> {
    return this.energy.recommendations(actor);
  }
}
