import type { ClusterPlanView, OperationView, Page } from '@drvs/contracts';
import { Body, Controller, Get, HttpCode, Param, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { PageQuery } from '../http/paging.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { ClusterPlanAnswer, OperationAnswer, pageAnswer } from '../openapi/answers.js';
import { Endpoint } from '../openapi/endpoint.js';
import { PlanRequest } from './plan-request.js';
import { PlansService } from './plans.service.js';

@ApiTags('plans')
@Controller('api/v1/plans')
export class PlansController {
  constructor(private readonly plans: PlansService) {}

  @Post()
  @Endpoint({
    summary:
      'Plan how to balance, consolidate, reallocate or wake, or how to drain, restore or evacuate a node; nothing is changed',
    body: PlanRequest,
    answer: ClusterPlanAnswer,
    status: 201,
    idempotent: true,
  })
  make(
    @CurrentActor() actor: Actor,
    @Body(new ZodPipe(PlanRequest)) request: PlanRequest,
  ): Promise<ClusterPlanView> {
    return this.plans.make(actor, request);
  }

  @Get()
  @Endpoint({ summary: 'Plans, the newest first', query: PageQuery, answer: pageAnswer(ClusterPlanAnswer) })
  list(
    @CurrentActor() actor: Actor,
    @Query(new ZodPipe(PageQuery)) page: PageQuery,
  ): Promise<Page<ClusterPlanView>> {
    return this.plans.list(actor, page);
  }

  @Get(':id')
  @Endpoint({ summary: 'One plan', answer: ClusterPlanAnswer })
  show(@CurrentActor() actor: Actor, @Param('id') id: string): Promise<ClusterPlanView> {
    return this.plans.show(actor, id);
  }

  @Post(':id/apply')
  @HttpCode(202)
  @Endpoint({
    summary: 'Carry it out, unless it is older than ten minutes or what it counts on has changed',
    answer: OperationAnswer,
    status: 202,
    idempotent: true,
    problems: ['StaleGeneration'],
  })
  apply(@CurrentActor() actor: Actor, @Param('id') id: string): Promise<OperationView> {
    return this.plans.apply(actor, id);
  }

  @Post(':id/undo')
  @HttpCode(201)
  @Endpoint({
    summary: 'Plan the way back from what was carried out of it; nothing is changed',
    answer: ClusterPlanAnswer,
    status: 201,
    idempotent: true,
  })
  undo(@CurrentActor() actor: Actor, @Param('id') id: string): Promise<ClusterPlanView> {
    return this.plans.undo(actor, id);
  }
}
