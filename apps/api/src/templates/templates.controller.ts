import type { ImportRowView, TemplateView } from '@drvs/contracts';
import { Body, Controller, Delete, Get, HttpCode, Param, Post, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { answerCreation, CREATION_ANSWERS, type CreationAnswer } from '../drvms/creation-answer.js';
import { DrvmsService } from '../drvms/drvms.service.js';
import { QueueService } from '../drvms/queue.service.js';
import { IfMatch } from '../http/etag.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { Endpoint } from '../openapi/endpoint.js';
import { ImportAnswer, TemplateAnswer, TemplateListAnswer } from '../openapi/inventory-answers.js';
import { FROM_LEDGER } from '../openapi/problems.js';
import { Import, NewTemplate, TemplateUse } from './template-request.js';
import { TemplatesService } from './templates.service.js';

const Use = z.record(z.string(), z.unknown());

@ApiTags('templates')
@Controller('api/v1/templates')
export class TemplatesController {
  constructor(
    private readonly templates: TemplatesService,
    private readonly drvms: DrvmsService,
    private readonly queue: QueueService,
  ) {}

  @Get()
  @Endpoint({ summary: 'The templates that one may use', answer: TemplateListAnswer, isOfLedger: true })
  async list(@CurrentActor() actor: Actor): Promise<{ items: TemplateView[] }> {
    return { items: await this.templates.list(actor) };
  }

  @Post()
  @HttpCode(201)
  @Endpoint({
    summary: 'Make a template: what a creation takes, without name and department',
    body: NewTemplate,
    answer: TemplateAnswer,
    status: 201,
    problems: ['AlreadyExists'],
    idempotent: true,
  })
  create(
    @CurrentActor() actor: Actor,
    @Body(new ZodPipe(NewTemplate)) template: z.infer<typeof NewTemplate>,
  ): Promise<TemplateView> {
    return this.templates.create(actor, template);
  }

  @Get(':template')
  @Endpoint({ summary: 'A template, by name or id', answer: TemplateAnswer, isOfLedger: true })
  show(@CurrentActor() actor: Actor, @Param('template') reference: string): Promise<TemplateView> {
    return this.templates.show(actor, reference);
  }

  @Delete(':template')
  @HttpCode(204)
  @Endpoint({
    summary: 'Delete it; DRVMs that were made from it stay',
    status: 204,
    ifMatch: true,
    idempotent: true,
  })
  remove(
    @CurrentActor() actor: Actor,
    @Param('template') reference: string,
    @IfMatch() generation: number | null,
  ): Promise<void> {
    return this.templates.remove(actor, reference, generation);
  }

  @Post(':template/drvms')
  @HttpCode(202)
  @Endpoint({
    summary: 'Create a DRVM from it; what is said here goes before what the template says',
    body: TemplateUse,
    ...CREATION_ANSWERS,
  })
  async use(
    @CurrentActor() actor: Actor,
    @Param('template') reference: string,
    @Body(new ZodPipe(Use)) over: Record<string, unknown>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<CreationAnswer> {
    const input = await this.templates.requestOf(actor, reference, over);
    return answerCreation(actor, input, { drvms: this.drvms, queue: this.queue }, reply);
  }

  @Post(':template/import')
  @HttpCode(200)
  @Endpoint({
    summary:
      'Create several DRVMs from it, a line each; with dryRun only plan them, each on what the others leave',
    body: Import,
    answer: ImportAnswer,
    problems: ['AlreadyExists', ...FROM_LEDGER],
    idempotent: true,
  })
  async import(
    @CurrentActor() actor: Actor,
    @Param('template') reference: string,
    @Body(new ZodPipe(Import)) lines: Import,
  ): Promise<{ rows: ImportRowView[] }> {
    return { rows: await this.templates.import(actor, reference, lines) };
  }
}
