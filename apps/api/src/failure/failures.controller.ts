import type { NodeFailureView } from '@drvs/contracts';
import { Body, Controller, Get, HttpCode, Param, Post, Put } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { Endpoint } from '../openapi/endpoint.js';
import { NodeFailureAnswer } from '../openapi/power-answers.js';
import { FailureSettings, FailureSettingsInput } from './failure-settings.js';
import { FailuresService, FenceRequest } from './failures.service.js';

@ApiTags('failures')
@Controller('api/v1')
export class FailuresController {
  constructor(
    private readonly failures: FailuresService,
    private readonly settings: FailureSettings,
  ) {}

  @Get('failures')
  @Endpoint({
    summary: 'Nodes that are not well, or came back lately, with the evidence',
    answer: z.array(NodeFailureAnswer),
  })
  list(@CurrentActor() actor: Actor): Promise<NodeFailureView[]> {
    return this.failures.list(actor);
  }

  @Get('failures/settings')
  @Endpoint({ summary: 'What is done about nodes that fall silent', answer: FailureSettingsInput })
  shown(@CurrentActor() actor: Actor): Promise<FailureSettingsInput> {
    return this.settings.show(actor);
  }

  @Put('failures/settings')
  @Endpoint({
    summary: 'Decide what is done about nodes that fall silent: off, manual or automatic',
    body: FailureSettingsInput,
    answer: FailureSettingsInput,
    idempotent: true,
  })
  set(
    @CurrentActor() actor: Actor,
    @Body(new ZodPipe(FailureSettingsInput)) value: FailureSettingsInput,
  ): Promise<FailureSettingsInput> {
    return this.settings.set(actor, value);
  }

  @Get('nodes/:node/failure')
  @Endpoint({ summary: 'What is known of a node that fell silent', answer: NodeFailureAnswer })
  show(@CurrentActor() actor: Actor, @Param('node') reference: string): Promise<NodeFailureView> {
    return this.failures.show(actor, reference);
  }

  @Post('nodes/:node/fence')
  @HttpCode(200)
  @Endpoint({
    summary:
      'Cut the power of a silent node, or confirm that it is off; then what it had may be made anew elsewhere',
    body: FenceRequest,
    answer: NodeFailureAnswer,
    idempotent: true,
    problems: ['StateConflict', 'StaleGeneration'],
  })
  fence(
    @CurrentActor() actor: Actor,
    @Param('node') reference: string,
    @Body(new ZodPipe(FenceRequest)) request: FenceRequest,
  ): Promise<NodeFailureView> {
    return this.failures.fence(actor, reference, request);
  }

  @Post('nodes/:node/release')
  @HttpCode(200)
  @Endpoint({
    summary: 'Let a node in again that is held out or quarantined',
    answer: NodeFailureAnswer,
    idempotent: true,
    problems: ['StateConflict'],
  })
  release(@CurrentActor() actor: Actor, @Param('node') reference: string): Promise<NodeFailureView> {
    return this.failures.release(actor, reference);
  }
}
