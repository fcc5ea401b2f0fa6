import type { Page, ScheduleView } from '@drvs/contracts';
import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { IfMatch } from '../http/etag.js';
import { PageQuery } from '../http/paging.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { pageAnswer } from '../openapi/answers.js';
import { Endpoint } from '../openapi/endpoint.js';
import { ScheduleAnswer } from '../openapi/schedule-answers.js';
import { NewSchedule, ScheduleChange, SchedulesService } from './schedules.service.js';

@ApiTags('schedules')
@Controller('api/v1/schedules')
export class SchedulesController {
  constructor(private readonly schedules: SchedulesService) {}

  @Get()
  @Endpoint({
    summary: 'Schedules, with the times to come',
    query: PageQuery,
    answer: pageAnswer(ScheduleAnswer),
  })
  list(
    @CurrentActor() actor: Actor,
    @Query(new ZodPipe(PageQuery)) page: PageQuery,
  ): Promise<Page<ScheduleView>> {
    return this.schedules.list(actor, page);
  }

  @Post()
  @Endpoint({
    summary: 'Have a plan made and carried out at the times of an expression of cron',
    body: NewSchedule,
    answer: ScheduleAnswer,
    status: 201,
    idempotent: true,
    problems: ['AlreadyExists'],
  })
  create(
    @CurrentActor() actor: Actor,
    @Body(new ZodPipe(NewSchedule)) input: NewSchedule,
  ): Promise<ScheduleView> {
    return this.schedules.create(actor, input);
  }

  @Get(':schedule')
  @Endpoint({ summary: 'A schedule, by name or id', answer: ScheduleAnswer })
  show(@CurrentActor() actor: Actor, @Param('schedule') reference: string): Promise<ScheduleView> {
    return this.schedules.show(actor, reference);
  }

  @Patch(':schedule')
  @Endpoint({
    summary: 'Change it, or stop it for a while',
    body: ScheduleChange,
    answer: ScheduleAnswer,
    ifMatch: true,
    idempotent: true,
  })
  change(
    @CurrentActor() actor: Actor,
    @Param('schedule') reference: string,
    @Body(new ZodPipe(ScheduleChange)) change: ScheduleChange,
    @IfMatch() generation: number | null,
  ): Promise<ScheduleView> {
    return this.schedules.change(actor, reference, change, generation);
  }

  @Delete(':schedule')
  @HttpCode(204)
  @Endpoint({ summary: 'Delete it', status: 204, ifMatch: true, idempotent: true })
  remove(
    @CurrentActor() actor: Actor,
    @Param('schedule') reference: string,
    @IfMatch() generation: number | null,
  ): Promise<void> {
    return this.schedules.remove(actor, reference, generation);
  }

  @Post(':schedule/run')
  @HttpCode(200)
  @Endpoint({ summary: 'Run it now, besides its times', answer: ScheduleAnswer, idempotent: true })
  run(@CurrentActor() actor: Actor, @Param('schedule') reference: string): Promise<ScheduleView> {
    return this.schedules.run(actor, reference);
  }
}
