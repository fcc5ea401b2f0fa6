import type { DrvmView, OperationView, WaitingView } from '@drvs/contracts';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { DrvmOperationAnswer, PlanAnswer, type PlanView } from '../openapi/answers.js';
import type { EndpointDescription } from '../openapi/endpoint.js';
import { WaitingAnswer } from '../openapi/inventory-answers.js';
import { FROM_LEDGER } from '../openapi/problems.js';
import type { NewDrvm } from './drvm-request.js';
import type { DrvmsService } from './drvms.service.js';
import type { QueueService } from './queue.service.js';

export type CreationAnswer =
  | PlanView
  | { operation: OperationView; drvm: DrvmView }
  | { waiting: WaitingView };

/** What a creation may answer, whatever its request was made of. */
export const CREATION_ANSWERS = {
  status: 202,
  answer: DrvmOperationAnswer,
  alsoAnswers: { 200: PlanAnswer, 201: z.object({ waiting: WaitingAnswer }) },
  problems: ['AlreadyExists', ...FROM_LEDGER],
  idempotent: true,
} satisfies Partial<EndpointDescription>;

/** 200 and the plan of a dry run, 201 and the place in the queue, or 202 and the operation. */
export async function answerCreation(
  actor: Actor,
  input: NewDrvm,
  { drvms, queue }: { drvms: DrvmsService; queue: QueueService },
  reply: FastifyReply,
): Promise<CreationAnswer> {
  if (input.dryRun) {
    void reply.status(200);
    return drvms.plan(actor, input);
  }
  const created = await queue.createOrWait(actor, input);
  if ('waiting' in created) {
    void reply.status(201).header('location', `/api/v1/queue/${created.waiting.id}`);
    return created;
  }
  void reply.header('location', `/api/v1/operations/${created.operation.id}`);
  return created;
}
