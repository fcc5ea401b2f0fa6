import { DrvsError, type OperationLogPage } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { Database } from '../database/database.js';
import { decodeCursor, encodeCursor } from '../http/paging.js';
import { isId } from '../http/reference.js';
import { LedgerSession } from '../jobs/ledger-session.js';
import { hasEnded } from './state-machine.js';

/** Lines kept of one operation; a plan of hundreds of moves has a few each. */
export const MAX_LOG_LINES = 5_000;
const MAX_LINE_CHARACTERS = 2_000;
const LOOK_EVERY_MS = 1_000;
const LineNumber = z.string().regex(/^\d{1,18}$/);

export interface LogLine {
  position: number | null;
  level: 'info' | 'warn' | 'error';
  text: string;
}

export const logLine = (position: number | null, level: LogLine['level'], text: string): LogLine => ({
  position,
  level,
  text: text.length > MAX_LINE_CHARACTERS ? `${text.slice(0, MAX_LINE_CHARACTERS - 1)}…` : text,
});

/** What operations did, line by line. */
@Injectable()
export class OperationLogs {
  constructor(
    private readonly database: Database,
    private readonly notices: LedgerSession,
  ) {}

  /**
   * A page of the log, the oldest first. With `waitMs` an empty page is answered only when that time is over, or the
   * operation has ended.
   */
  async read(
    actor: Actor,
    operationId: string,
    page: { limit: number; cursor?: string; waitMs: number },
    signal: AbortSignal,
  ): Promise<OperationLogPage> {
    requirePermission(actor, 'operation:read');
    const after = decodeCursor(page.cursor, LineNumber) ?? '0';
    const until = Date.now() + page.waitMs;
    for (;;) {
      const wait = Math.max(1, Math.min(LOOK_EVERY_MS, until - Date.now()));
      const changed = this.notices.next('drvs_operation', operationId, wait, signal);
      changed.catch(() => undefined);
      const found = await this.#page(actor, operationId, after, page.limit);
      if (found.items.length > 0 || found.ended || Date.now() >= until) return found;
      await changed;
    }
  }

  async #page(actor: Actor, id: string, after: string, limit: number): Promise<OperationLogPage> {
    return this.database.as(actor, async (tx) => {
      const operation = isId(id)
        ? await tx.operation.findUnique({
            where: { id },
            select: {
              state: true,
              steps: { select: { position: true, name: true } },
              logs: { where: { id: { gt: BigInt(after) } }, orderBy: { id: 'asc' }, take: limit + 1 },
            },
          })
        : null;
      if (!operation) {
        throw new DrvsError('NotFound', `There is no operation ${id.slice(0, 64)}`, {
          hint: 'See `drvs op list`.',
        });
      }
      const names = new Map(operation.steps.map(({ position, name }) => [position, name]));
      const rows = operation.logs.slice(0, limit);
      return {
        items: rows.map(({ id: number, at, position, level, text }) => ({
          id: String(number),
          at: at.toISOString(),
          step: position === null ? null : (names.get(position) ?? null),
          level: level as LogLine['level'],
          text,
        })),
        nextCursor: encodeCursor(String(rows.at(-1)?.id ?? after)),
        ended: hasEnded(operation.state) && operation.logs.length <= limit,
      };
    });
  }
}
