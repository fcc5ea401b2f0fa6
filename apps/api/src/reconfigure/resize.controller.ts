import type { OperationView } from '@drvs/contracts';
import { Body, Controller, HttpCode, Param, Patch, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { IfMatch } from '../http/etag.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { OperationAnswer, PlanAnswer, type PlanView } from '../openapi/answers.js';
import { Endpoint } from '../openapi/endpoint.js';
import { FROM_LEDGER } from '../openapi/problems.js';
import { ResizeService } from './resize.service.js';
import { ResizeDrvm } from './resize-request.js';

@ApiTags('drvms')
@Controller('api/v1/drvms')
export class ResizeController {
  constructor(private readonly resizes: ResizeService) {}

  @Patch(':drvm')
  @HttpCode(202)
  @Endpoint({
    summary: 'Make it larger or smaller, or bring it to other nodes, as it runs; with dryRun only plan it',
    body: ResizeDrvm,
    status: 202,
    answer: OperationAnswer,
    alsoAnswers: { 200: PlanAnswer },
    problems: ['StateConflict', 'OperationUnderWay', ...FROM_LEDGER],
    ifMatch: true,
    idempotent: true,
  })
  async resize(
    @CurrentActor() actor: Actor,
    @Param('drvm') reference: string,
    @Body(new ZodPipe(ResizeDrvm)) input: ResizeDrvm,
    @IfMatch() generation: number | null,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<PlanView | OperationView> {
    if (input.dryRun) {
      void reply.status(200);
      return this.resizes.plan(actor, reference, input, generation);
    }
    const operation = await this.resizes.resize(actor, reference, input, generation);
    void reply.header('location', `/api/v1/operations/${operation.id}`);
    return operation;
  }
}
