import { Injectable } from '@nestjs/common';
import type { OperationKind } from '@drvs/contracts';
import { type Actor, actorLabel } from '../auth/actor.js';
import { Database, type Transaction } from '../database/database.js';
import type { Operation, Prisma } from '../gen/client.js';

export interface OperationRequest {
  kind: OperationKind;
  /** For instance `drvm/fisica` or `drvm/fisica/pid/12`. */
  subject: string;
  tenantId: string | null;
  drvmId: string | null;
  params: Prisma.InputJsonObject;
  actor: Actor;
}

/** Accepts work: the operation is recorded with the change it belongs to, and queued once that change is committed. */
@Injectable()
export class OperationsService {
  constructor(private readonly database: Database) {}

  async start(tx: Transaction, request: OperationRequest): Promise<Operation> {
    const { kind, subject, tenantId, drvmId, params, actor } = request;
    const operation = await tx.operation.create({
      data: { kind, subject, tenantId, drvmId, params, requestedBy: actorLabel(actor) },
    });
    this.database.afterCommit(tx, () => this.enqueue(operation.id));
    return operation;
  }

  async enqueue(_operationId: string): Promise<void> {}
}
