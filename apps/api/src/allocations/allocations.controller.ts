import type { AllocationView, Page } from '@drvs/contracts';
import { Controller, Get, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { AllocationAnswer, pageAnswer } from '../openapi/answers.js';
import { Endpoint } from '../openapi/endpoint.js';
import { AllocationQuery, AllocationsService } from './allocations.service.js';

@ApiTags('allocations')
@Controller('api/v1/allocations')
export class AllocationsController {
  constructor(private readonly allocations: AllocationsService) {}

  @Get()
  @Endpoint({
    summary: 'What each DRVM holds on each node',
    query: AllocationQuery,
    answer: pageAnswer(AllocationAnswer),
  })
  list(
    @CurrentActor() actor: Actor,
    @Query(new ZodPipe(AllocationQuery)) query: z.infer<typeof AllocationQuery>,
  ): Promise<Page<AllocationView>> {
    return this.allocations.list(actor, query);
  }
}
