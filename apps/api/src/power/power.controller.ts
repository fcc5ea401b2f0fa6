import type { NodePowerView, OperationView, PowerReadingView } from '@drvs/contracts';
import { Body, Controller, Get, HttpCode, Param, Patch, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { IfMatch } from '../http/etag.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { OperationAnswer } from '../openapi/answers.js';
import { Endpoint } from '../openapi/endpoint.js';
import { NodePowerAnswer, PowerReadingAnswer } from '../openapi/power-answers.js';
import { PowerAdmin } from './power-admin.service.js';
import { PowerChange, PowerSwitch } from './power-requests.js';

@ApiTags('power')
@Controller('api/v1')
export class PowerController {
  constructor(private readonly power: PowerAdmin) {}

  @Get('power')
  @Endpoint({
    summary: 'The power of every node: its state, how it is switched, what it draws',
    answer: z.array(NodePowerAnswer),
  })
  list(@CurrentActor() actor: Actor): Promise<NodePowerView[]> {
    return this.power.list(actor);
  }

  @Get('nodes/:node/power')
  @Endpoint({
    summary: 'The power of a node: its state, how it is switched, what it draws',
    answer: NodePowerAnswer,
  })
  show(@CurrentActor() actor: Actor, @Param('node') reference: string): Promise<NodePowerView> {
    return this.power.show(actor, reference);
  }

  @Patch('nodes/:node/power')
  @Endpoint({
    summary: 'Set how a node is switched and what it draws; secrets are kept sealed and never shown',
    body: PowerChange,
    answer: NodePowerAnswer,
    ifMatch: true,
    idempotent: true,
  })
  set(
    @CurrentActor() actor: Actor,
    @Param('node') reference: string,
    @Body(new ZodPipe(PowerChange)) change: PowerChange,
    @IfMatch() generation: number | null,
  ): Promise<NodePowerView> {
    return this.power.set(actor, reference, change, generation);
  }

  @Post('nodes/:node/power/test')
  @HttpCode(200)
  @Endpoint({
    summary: 'Read the power of a node by its driver; nothing is switched',
    answer: PowerReadingAnswer,
    problems: ['StateConflict'],
  })
  test(@CurrentActor() actor: Actor, @Param('node') reference: string): Promise<PowerReadingView> {
    return this.power.test(actor, reference);
  }

  @Post('nodes/:node/power')
  @HttpCode(202)
  @Endpoint({
    summary: 'Switch a node on, or a drained one off',
    description:
      'With `force`, which is the name of the node written again, also one on which DRVMs have something.',
    body: PowerSwitch,
    answer: OperationAnswer,
    status: 202,
    idempotent: true,
    problems: ['StateConflict', 'OperationUnderWay'],
  })
  switch(
    @CurrentActor() actor: Actor,
    @Param('node') reference: string,
    @Body(new ZodPipe(PowerSwitch)) request: PowerSwitch,
  ): Promise<OperationView> {
    return this.power.switch(actor, reference, request);
  }
}
