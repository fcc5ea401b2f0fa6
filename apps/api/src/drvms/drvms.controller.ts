import type { DrvmView, OperationView, Page } from '@drvs/contracts';
import { Body, Controller, Delete, Get, HttpCode, Param, Post, Query, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import type { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { IfMatch } from '../http/etag.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { DrvmAnswer, DrvmBatchAnswer, OperationAnswer, pageAnswer } from '../openapi/answers.js';
import { Endpoint } from '../openapi/endpoint.js';
import { FROM_LEDGER } from '../openapi/problems.js';
import { answerCreation, CREATION_ANSWERS, type CreationAnswer } from './creation-answer.js';
import { NewDrvms } from './drvm-batch.js';
import { NewDrvm } from './drvm-request.js';
import { type CreatedDrvm, DrvmQuery, DrvmsService } from './drvms.service.js';
import { QueueService } from './queue.service.js';

@ApiTags('drvms')
@Controller('api/v1/drvms')
export class DrvmsController {
  constructor(
    private readonly drvms: DrvmsService,
    private readonly queue: QueueService,
  ) {}

  @Get()
  @Endpoint({ summary: 'The DRVMs', query: DrvmQuery, answer: pageAnswer(DrvmAnswer), isOfLedger: true })
  list(
    @CurrentActor() actor: Actor,
    @Query(new ZodPipe(DrvmQuery)) query: z.infer<typeof DrvmQuery>,
  ): Promise<Page<DrvmView>> {
    return this.drvms.list(actor, query);
  }

  @Post()
  @HttpCode(202)
  @Endpoint({
    summary: 'Create a DRVM over one or more nodes, or with dryRun only plan it',
    description:
      'With whenFull `wait`, or a lease that begins later, it may be put in the queue: 201 and its place there.',
    body: NewDrvm,
    ...CREATION_ANSWERS,
  })
  create(
    @CurrentActor() actor: Actor,
    @Body(new ZodPipe(NewDrvm)) input: NewDrvm,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<CreationAnswer> {
    return answerCreation(actor, input, { drvms: this.drvms, queue: this.queue }, reply);
  }

  @Post('batch')
  @HttpCode(202)
  @Endpoint({
    summary: 'Create several DRVMs of a tenant, all or none; each has an operation of its own',
    body: NewDrvms,
    status: 202,
    answer: DrvmBatchAnswer,
    problems: ['AlreadyExists', ...FROM_LEDGER],
    idempotent: true,
  })
  async createMany(
    @CurrentActor() actor: Actor,
    @Body(new ZodPipe(NewDrvms)) input: NewDrvms,
  ): Promise<{ items: CreatedDrvm[] }> {
    return { items: await this.drvms.createMany(actor, input) };
  }

  @Get(':drvm')
  @Endpoint({ summary: 'A DRVM, by id, name or tenant~name', answer: DrvmAnswer, isOfLedger: true })
  show(@CurrentActor() actor: Actor, @Param('drvm') reference: string): Promise<DrvmView> {
    return this.drvms.show(actor, reference);
  }

  @Post(':drvm/start')
  @HttpCode(202)
  @Endpoint({
    summary: 'Start its containers',
    status: 202,
    answer: OperationAnswer,
    ifMatch: true,
    idempotent: true,
  })
  start(
    @CurrentActor() actor: Actor,
    @Param('drvm') reference: string,
    @IfMatch() generation: number | null,
  ): Promise<OperationView> {
    return this.drvms.start(actor, reference, generation);
  }

  @Post(':drvm/stop')
  @HttpCode(202)
  @Endpoint({
    summary: 'Stop its containers; files stay',
    status: 202,
    answer: OperationAnswer,
    ifMatch: true,
    idempotent: true,
  })
  stop(
    @CurrentActor() actor: Actor,
    @Param('drvm') reference: string,
    @IfMatch() generation: number | null,
  ): Promise<OperationView> {
    return this.drvms.stop(actor, reference, generation);
  }

  @Delete(':drvm')
  @HttpCode(202)
  @Endpoint({
    summary: 'Delete it with its files and give its resources back',
    status: 202,
    answer: OperationAnswer,
    ifMatch: true,
    idempotent: true,
  })
  remove(
    @CurrentActor() actor: Actor,
    @Param('drvm') reference: string,
    @IfMatch() generation: number | null,
  ): Promise<OperationView> {
    return this.drvms.remove(actor, reference, generation);
  }
}
