import type { AlertRuleView, AlertView, Page } from '@drvs/contracts';
import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { PageQuery } from '../http/paging.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { pageAnswer } from '../openapi/answers.js';
import { Endpoint } from '../openapi/endpoint.js';
import { AlertAnswer, AlertRuleAnswer } from '../openapi/watch-answers.js';
import { ALERT_STATES, AlertRuleChange, AlertsService, NewAlertRule, Silence } from './alerts.service.js';
import { METRIC_MEANING } from './measurements.js';

const METRICS = `The metrics: ${Object.entries(METRIC_MEANING)
  .map(([metric, meaning]) => `\`${metric}\`: ${meaning}`)
  .join('; ')}.`;
const ListQuery = PageQuery.extend({ state: z.enum(ALERT_STATES).optional() });

@ApiTags('alerts')
@Controller('api/v1')
export class AlertsController {
  constructor(private readonly alerts: AlertsService) {}

  @Get('alerts')
  @Endpoint({
    summary: 'Alerts, the newest first; without `state` those that are not resolved',
    query: ListQuery,
    answer: pageAnswer(AlertAnswer),
  })
  list(
    @CurrentActor() actor: Actor,
    @Query(new ZodPipe(ListQuery)) query: z.infer<typeof ListQuery>,
  ): Promise<Page<AlertView>> {
    return this.alerts.list(actor, query);
  }

  @Post('alerts/:id/silence')
  @HttpCode(200)
  @Endpoint({
    summary: 'Tell nobody of it for a time; 0 seconds: tell again',
    body: Silence,
    answer: AlertAnswer,
    problems: ['StateConflict'],
    idempotent: true,
  })
  silence(
    @CurrentActor() actor: Actor,
    @Param('id') id: string,
    @Body(new ZodPipe(Silence)) { seconds }: z.infer<typeof Silence>,
  ): Promise<AlertView> {
    return this.alerts.silence(actor, id, seconds);
  }

  @Get('alert-rules')
  @Endpoint({ summary: 'What is watched', query: PageQuery, answer: pageAnswer(AlertRuleAnswer) })
  rules(
    @CurrentActor() actor: Actor,
    @Query(new ZodPipe(PageQuery)) page: PageQuery,
  ): Promise<Page<AlertRuleView>> {
    return this.alerts.rules(actor, page);
  }

  @Post('alert-rules')
  @HttpCode(201)
  @Endpoint({
    summary: 'Watch something',
    description: METRICS,
    body: NewAlertRule,
    answer: AlertRuleAnswer,
    status: 201,
    problems: ['NotFound', 'AlreadyExists', 'StateConflict'],
    idempotent: true,
  })
  create(
    @CurrentActor() actor: Actor,
    @Body(new ZodPipe(NewAlertRule)) rule: NewAlertRule,
  ): Promise<AlertRuleView> {
    return this.alerts.create(actor, rule);
  }

  @Patch('alert-rules/:rule')
  @Endpoint({
    summary: 'Change a rule, or switch it off',
    body: AlertRuleChange,
    answer: AlertRuleAnswer,
    idempotent: true,
  })
  change(
    @CurrentActor() actor: Actor,
    @Param('rule') rule: string,
    @Body(new ZodPipe(AlertRuleChange)) change: AlertRuleChange,
  ): Promise<AlertRuleView> {
    return this.alerts.change(actor, rule, change);
  }

  @Delete('alert-rules/:rule')
  @HttpCode(204)
  @Endpoint({ summary: 'Watch it no more', status: 204, problems: ['StateConflict'], idempotent: true })
  remove(@CurrentActor() actor: Actor, @Param('rule') rule: string): Promise<void> {
    return this.alerts.remove(actor, rule);
  }
}
