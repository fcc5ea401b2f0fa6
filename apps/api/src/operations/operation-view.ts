import type { OperationKind, OperationView } from '@drvs/contracts';
import type { Operation, OperationStep, Prisma } from '../gen/client.js';
import { awaitedOf } from './maintenance-awaits.js';
/** An operation that has not been written yet, and its steps. */
export interface OperationRows {
  operation: {
    id: string;
    kind: OperationKind;
    subject: string;
    drvmId: string;
    params: Prisma.InputJsonObject;
    requestedBy: string;
    deadlineAt: string | null;
    nodeIds: string[];
  };
  steps: { operationId: string; position: number; name: string }[];
}

export type OperationWithSteps = Operation & { steps: OperationStep[] };

const iso = (at: Date | null): string | null => at?.toISOString() ?? null;

/** Steps are expected in order of their position. */
export function operationView(row: OperationWithSteps): OperationView {
  return {
    id: row.id,
    kind: row.kind as OperationKind,
    state: row.state,
    progress: row.progress,
    subject: row.subject,
    steps: row.steps.map(({ name, state, startedAt, endedAt, error }) => ({
      name,
      state,
      startedAt: iso(startedAt),
      endedAt: iso(endedAt),
      error,
    })),
    result: row.result,
    error: row.error as unknown as OperationView['error'],
    requestedBy: row.requestedBy,
    deadlineAt: iso(row.deadlineAt),
    awaits: awaitedOf(row).map(({ name }) => name),
    createdAt: row.createdAt.toISOString(),
    endedAt: iso(row.endedAt),
  };
}

/** As it is accepted: nothing of it has begun. */
export function acceptedView({ operation, steps }: OperationRows, createdAt: Date): OperationView {
  const { id, kind, subject, requestedBy, deadlineAt } = operation;
  return {
    id,
    kind,
    state: 'queued',
    progress: 0,
    subject,
    steps: steps.map(({ name }) => ({ name, state: 'pending', startedAt: null, endedAt: null, error: null })),
    result: null,
    error: null,
    requestedBy,
    deadlineAt,
    awaits: [],
    createdAt: createdAt.toISOString(),
    endedAt: null,
  };
}
