import type { NodeDetailView, OperationView } from '@drvs/contracts';
import { Controller, HttpCode, Param, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { NodeDetailAnswer, OperationAnswer } from '../openapi/answers.js';
import { Endpoint } from '../openapi/endpoint.js';
import { PlansService } from './plans.service.js';

@ApiTags('nodes')
@Controller('api/v1/nodes')
export class DrainsController {
  constructor(private readonly plans: PlansService) {}

  @Post(':node/drain')
  @HttpCode(202)
  @Endpoint({
    summary: 'Close a node to what is new, and move the processes on it elsewhere',
    answer: OperationAnswer,
    status: 202,
    idempotent: true,
  })
  drain(@CurrentActor() actor: Actor, @Param('node') reference: string): Promise<OperationView> {
    return this.plans.drain(actor, reference);
  }

  @Post(':node/restore')
  @HttpCode(200)
  @Endpoint({ summary: 'Open a drained node again', answer: NodeDetailAnswer, idempotent: true })
  restore(@CurrentActor() actor: Actor, @Param('node') reference: string): Promise<NodeDetailView> {
    return this.plans.restore(actor, reference);
  }
}
