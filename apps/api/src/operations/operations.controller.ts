import {
  OPERATION_KINDS,
  OPERATION_STATES,
  type OperationLogPage,
  type OperationView,
  type Page,
} from '@drvs/contracts';
import { Controller, Get, HttpCode, Param, Post, Query, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { hangUpSignal } from '../http/hang-up.js';
import { PageQuery } from '../http/paging.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { OperationAnswer, pageAnswer } from '../openapi/answers.js';
import { Endpoint } from '../openapi/endpoint.js';
import { OperationLogAnswer } from '../openapi/watch-answers.js';
import { OperationLogs } from './operation-logs.js';
import { OperationsService } from './operations.service.js';

/** A request may wait this long at most; a client that wants to wait longer asks again. */
const MAX_WAIT_SECONDS = 300;

const ListQuery = PageQuery.extend({
  drvm: z.string().max(130).optional(),
  state: z.enum(OPERATION_STATES).optional(),
  kind: z.enum(OPERATION_KINDS).optional(),
  subject: z.string().max(300).optional(),
  actor: z.string().max(200).optional(),
  from: z.coerce.date().optional(),
  to: z.coerce.date().optional(),
});
const LogQuery = PageQuery.extend({
  waitSeconds: z.coerce.number().min(0).max(MAX_WAIT_SECONDS).default(0),
});
const WaitQuery = z.object({ timeoutSeconds: z.coerce.number().min(0).max(MAX_WAIT_SECONDS).default(30) });

@ApiTags('operations')
@Controller('api/v1/operations')
export class OperationsController {
  constructor(
    private readonly operations: OperationsService,
    private readonly logs: OperationLogs,
  ) {}

  @Get()
  @Endpoint({
    summary: 'Operations, the newest first',
    query: ListQuery,
    answer: pageAnswer(OperationAnswer),
    isOfLedger: true,
  })
  list(
    @CurrentActor() actor: Actor,
    @Query(new ZodPipe(ListQuery)) query: z.infer<typeof ListQuery>,
  ): Promise<Page<OperationView>> {
    return this.operations.list(actor, query);
  }

  @Get(':id')
  @Endpoint({ summary: 'One operation with its steps', answer: OperationAnswer, isOfLedger: true })
  show(@CurrentActor() actor: Actor, @Param('id') id: string): Promise<OperationView> {
    return this.operations.show(actor, id);
  }

  @Get(':id/logs')
  @Endpoint({
    summary: 'What it did, line by line, the oldest first',
    description:
      'With `waitSeconds` an empty page is answered only when that time is over or the operation has ended.',
    query: LogQuery,
    answer: OperationLogAnswer,
  })
  readLogs(
    @CurrentActor() actor: Actor,
    @Param('id') id: string,
    @Query(new ZodPipe(LogQuery)) { waitSeconds, ...page }: z.infer<typeof LogQuery>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<OperationLogPage> {
    return this.logs.read(actor, id, { ...page, waitMs: waitSeconds * 1_000 }, hangUpSignal(reply));
  }

  @Get(':id/wait')
  @Endpoint({
    summary: 'Wait until it has ended; answers it as it is when the time is over',
    query: WaitQuery,
    answer: OperationAnswer,
  })
  wait(
    @CurrentActor() actor: Actor,
    @Param('id') id: string,
    @Query(new ZodPipe(WaitQuery)) { timeoutSeconds }: z.infer<typeof WaitQuery>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<OperationView> {
    return this.operations.wait(actor, id, timeoutSeconds * 1_000, hangUpSignal(reply));
  }

  @Post(':id/cancel')
  @HttpCode(202)
  @Endpoint({
    summary: 'Ask for it to be cancelled; what it did is undone',
    answer: OperationAnswer,
    status: 202,
    idempotent: true,
  })
  cancel(@CurrentActor() actor: Actor, @Param('id') id: string): Promise<OperationView> {
    return this.operations.cancel(actor, id);
  }

  @Post(':id/retry')
  @HttpCode(202)
  @Endpoint({
    summary: 'Try a failed operation again',
    answer: OperationAnswer,
    status: 202,
    idempotent: true,
  })
  retry(@CurrentActor() actor: Actor, @Param('id') id: string): Promise<OperationView> {
    return this.operations.retry(actor, id);
  }
}
