import type { OperationKind, OperationView } from '@drvs/contracts';
import type { Operation, OperationStep } from '../gen/client.js';

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
    createdAt: row.createdAt.toISOString(),
    endedAt: iso(row.endedAt),
  };
}
