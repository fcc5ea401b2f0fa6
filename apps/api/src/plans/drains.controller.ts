import { type NodeDetailView, type OperationView, RESTORE_MODES } from '@drvs/contracts';
import { Body, Controller, HttpCode, Param, Post, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { NodeDetailAnswer, OperationAnswer } from '../openapi/answers.js';
import { Endpoint } from '../openapi/endpoint.js';
import { PlansService } from './plans.service.js';

/** Without a mode the node is opened at once, and what left it stays where it is. */
const RestoreRequest = z.strictObject({ mode: z.enum(RESTORE_MODES).optional() });
type RestoreRequest = z.infer<typeof RestoreRequest>;

const OK = 200;
const ACCEPTED = 202;

@ApiTags('nodes')
@Controller('api/v1/nodes')
export class DrainsController {
  constructor(private readonly plans: PlansService) {}

  @Post(':node/drain')
  @HttpCode(202)
  @Endpoint({
    summary: 'Close a node to what is new, and move everything on it elsewhere',
    answer: OperationAnswer,
    status: 202,
    idempotent: true,
    problems: ['StaleGeneration'],
  })
  drain(@CurrentActor() actor: Actor, @Param('node') reference: string): Promise<OperationView> {
    return this.plans.drain(actor, reference);
  }

  @Post(':node/retire')
  @HttpCode(202)
  @Endpoint({
    summary: 'Drain a node, and remove it for good once it is empty',
    answer: OperationAnswer,
    status: 202,
    idempotent: true,
    problems: ['StaleGeneration'],
  })
  retire(@CurrentActor() actor: Actor, @Param('node') reference: string): Promise<OperationView> {
    return this.plans.drain(actor, reference, true);
  }

  @Post(':node/restore')
  @HttpCode(200)
  @Endpoint({
    summary:
      'Open a drained node again; with a mode, what left it comes back, stays, or load is balanced anew',
    body: RestoreRequest,
    answer: NodeDetailAnswer,
    alsoAnswers: { [ACCEPTED]: OperationAnswer },
    idempotent: true,
    problems: ['StaleGeneration'],
  })
  async restore(
    @CurrentActor() actor: Actor,
    @Param('node') reference: string,
    @Body(new ZodPipe(RestoreRequest.optional())) request: RestoreRequest | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<NodeDetailView | OperationView> {
    reply.code(request?.mode === undefined ? OK : ACCEPTED);
    return request?.mode === undefined
      ? this.plans.open(actor, reference)
      : this.plans.restore(actor, reference, request.mode);
  }
}
