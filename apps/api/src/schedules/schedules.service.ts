import { DrvsError, type Page, type ScheduleView } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { AuditService } from '../audit/audit.service.js';
import { type Actor, actorLabel, systemActor } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { Database, type Transaction } from '../database/database.js';
import { EventsService } from '../events/events.service.js';
import type { Prisma, Schedule } from '../gen/client.js';
import { requireGeneration } from '../http/etag.js';
import { decodeCursor, type PageQuery, pageOf } from '../http/paging.js';
import { byReference } from '../http/reference.js';
import { findNode } from '../nodes/nodes.service.js';
import { PlanRequest } from '../plans/plan-request.js';
import { PlansService } from '../plans/plans.service.js';
import { type DueTimes, decide, dueTimes } from './due-times.js';

/** Times to come that are shown. */
const SHOWN_RUNS = 5;
const MAX_SCHEDULES = 500;
const Name = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'a name is of a-z, 0-9 and -, 63 characters at most');
const CRON_MAX = 200;

export const NewSchedule = z.strictObject({
  name: Name,
  cron: z.string().max(CRON_MAX),
  timeZone: z.string().max(64).default('UTC'),
  plan: PlanRequest,
  missed: z.enum(['skip', 'run-once']).default('skip'),
  enabled: z.boolean().default(true),
});
export type NewSchedule = z.infer<typeof NewSchedule>;

export const ScheduleChange = z.strictObject({
  cron: z.string().max(CRON_MAX).optional(),
  timeZone: z.string().max(64).optional(),
  plan: PlanRequest.optional(),
  missed: z.enum(['skip', 'run-once']).optional(),
  enabled: z.boolean().optional(),
});
export type ScheduleChange = z.infer<typeof ScheduleChange>;

type Outcome = NonNullable<ScheduleView['lastOutcome']>;

/** When plans are made and carried out by themselves: maintenance windows, consolidation at night. */
@Injectable()
export class SchedulesService {
  constructor(
    private readonly database: Database,
    private readonly plans: PlansService,
    private readonly events: EventsService,
    private readonly audit: AuditService,
  ) {}

  async list(actor: Actor, { limit, cursor }: PageQuery): Promise<Page<ScheduleView>> {
    requirePermission(actor, 'schedule:read');
    const after = decodeCursor(cursor);
    const rows = await this.database.as(actor, (tx) =>
      tx.schedule.findMany({
        where: after === null ? {} : { name: { gt: after } },
        orderBy: { name: 'asc' },
        take: limit + 1,
      }),
    );
    return pageOf(
      rows,
      limit,
      ({ name }) => name,
      (row) => viewOf(row),
    );
  }

  async show(actor: Actor, reference: string): Promise<ScheduleView> {
    requirePermission(actor, 'schedule:read');
    return this.database.as(actor, async (tx) => viewOf(await findSchedule(tx, reference)));
  }

  /** @throws DrvsError InvalidInput for an expression, a time zone, or a node that there is not */
  async create(actor: Actor, input: NewSchedule): Promise<ScheduleView> {
    requirePermission(actor, 'schedule:write');
    const times = dueTimes(input.cron, input.timeZone);
    const { name, cron, timeZone, missed, enabled } = input;
    return this.database.as(actor, async (tx) => {
      const count = await tx.schedule.count();
      if (count >= MAX_SCHEDULES) {
        throw new DrvsError('StateConflict', `there are ${count} schedules, as many as there may be`, {
          hint: 'Delete one: drvs schedule delete NAME',
        });
      }
      await requireNode(tx, input.plan);
      const row = await tx.schedule.create({
        data: {
          name,
          cron,
          timeZone,
          missed,
          enabled,
          request: input.plan,
          nextDueAt: enabled ? dateOf(times.after(Date.now())) : null,
          createdBy: actorLabel(actor),
        },
      });
      await this.audit.append(tx, actor, 'schedule.create', `schedule/${name}`, null, {
        cron,
        timeZone,
        plan: input.plan,
      });
      return viewOf(row);
    });
  }

  async change(
    actor: Actor,
    reference: string,
    change: ScheduleChange,
    generation: number | null,
  ): Promise<ScheduleView> {
    requirePermission(actor, 'schedule:write');
    return this.database.as(actor, async (tx) => {
      const { id } = await findSchedule(tx, reference);
      await tx.$queryRaw`SELECT 1 FROM schedule WHERE id = ${id}::uuid FOR UPDATE`;
      const before = await findSchedule(tx, id);
      requireGeneration(`the schedule ${before.name}`, generation, before.generation);
      const cron = change.cron ?? before.cron;
      const timeZone = change.timeZone ?? before.timeZone;
      const times = dueTimes(cron, timeZone);
      if (change.plan) await requireNode(tx, change.plan);
      const enabled = change.enabled ?? before.enabled;
      // What was due and not run yet is not made up for under other terms.
      const isRetimed = cron !== before.cron || timeZone !== before.timeZone || enabled !== before.enabled;
      const from = Math.max(Date.now(), before.lastDueAt?.getTime() ?? 0);
      const row = await tx.schedule.update({
        where: { id },
        data: {
          cron,
          timeZone,
          enabled,
          ...(change.missed === undefined ? {} : { missed: change.missed }),
          ...(change.plan === undefined ? {} : { request: change.plan }),
          ...(isRetimed ? { nextDueAt: enabled ? dateOf(times.after(from)) : null } : {}),
          generation: { increment: 1 },
        },
      });
      await this.audit.append(tx, actor, 'schedule.change', `schedule/${row.name}`, null, {
        change: JSON.parse(JSON.stringify(change)) as Prisma.InputJsonValue,
      });
      return viewOf(row);
    });
  }

  async remove(actor: Actor, reference: string, generation: number | null): Promise<void> {
    requirePermission(actor, 'schedule:write');
    await this.database.as(actor, async (tx) => {
      const { id, name, generation: actual } = await findSchedule(tx, reference);
      requireGeneration(`the schedule ${name}`, generation, actual);
      await tx.schedule.delete({ where: { id } });
      await this.audit.append(tx, actor, 'schedule.delete', `schedule/${name}`, null, {});
    });
  }

  /** Runs it now, besides its times. */
  async run(actor: Actor, reference: string): Promise<ScheduleView> {
    requirePermission(actor, 'schedule:write');
    const row = await this.database.as(actor, (tx) => findSchedule(tx, reference));
    await this.database.system((tx) =>
      this.audit.append(tx, actor, 'schedule.run', `schedule/${row.name}`, null, {}),
    );
    await this.#perform(row, actor);
    return this.show(actor, row.id);
  }

  /** Runs what is due, each once: whoever moves `next_due_at` on runs it, also among several API processes. */
  async runDue(nowMs = Date.now()): Promise<void> {
    const rows = await this.database.unrestricted.schedule.findMany({
      where: { enabled: true },
      orderBy: { nextDueAt: 'asc' },
    });
    for (const row of rows) {
      const due = {
        nextDueMs: row.nextDueAt?.getTime() ?? null,
        lastDueMs: row.lastDueAt?.getTime() ?? null,
        missed: row.missed as 'skip' | 'run-once',
      };
      const decision = decide(due, dueTimes(row.cron, row.timeZone), nowMs);
      if (decision.nextDueMs === due.nextDueMs && decision.lastDueMs === due.lastDueMs) continue;
      const { count } = await this.database.unrestricted.schedule.updateMany({
        where: { id: row.id, nextDueAt: row.nextDueAt, lastDueAt: row.lastDueAt, generation: row.generation },
        data: { nextDueAt: dateOf(decision.nextDueMs), lastDueAt: dateOf(decision.lastDueMs) },
      });
      if (count === 0) continue;
      if (decision.runMs === null) {
        if (decision.passedOver) await this.#missed(row, due.nextDueMs!);
        continue;
      }
      await this.#perform(row, schedulerOf(row));
    }
  }

  async #perform(row: Schedule, actor: Actor): Promise<void> {
    const { outcome, detail, operationId } = await this.#attempt(row, actor);
    await this.database.system(async (tx) => {
      await tx.schedule.updateMany({
        where: { id: row.id },
        data: {
          lastRunAt: new Date(),
          lastOutcome: outcome,
          lastDetail: detail,
          lastOperationId: operationId,
        },
      });
      await this.events.record(tx, {
        kind: outcome === 'refused' ? 'schedule.refused' : 'schedule.ran',
        text: `${row.name}: ${detail}`,
      });
    });
  }

  async #attempt(
    row: Schedule,
    actor: Actor,
  ): Promise<{ outcome: Outcome; detail: string; operationId: string | null }> {
    try {
      const request = PlanRequest.parse(row.request);
      if (request.kind === 'drain') {
        const operation = await this.plans.drain(actor, request.node, request.remove);
        return { outcome: 'started', detail: `drain of ${request.node}`, operationId: operation.id };
      }
      const plan = await this.plans.make(actor, request, 'schedule');
      if (plan.steps.length === 0) {
        return { outcome: 'nothing-to-do', detail: `${request.kind}: nothing to do`, operationId: null };
      }
      const operation = await this.plans.apply(actor, plan.id);
      const steps = `${plan.steps.length} step${plan.steps.length === 1 ? '' : 's'}`;
      return {
        outcome: 'started',
        detail: `${request.kind}: ${steps}, ${plan.gain.summary}`,
        operationId: operation.id,
      };
    } catch (thrown) {
      const { code, message } = DrvsError.from(thrown);
      return { outcome: 'refused', detail: `${code}: ${message}`.slice(0, 1_000), operationId: null };
    }
  }

  async #missed(row: Schedule, dueMs: number): Promise<void> {
    const detail = `its time ${new Date(dueMs).toISOString()} passed while nobody was there, and what is missed is not made up for`;
    await this.database.system(async (tx) => {
      await tx.schedule.updateMany({
        where: { id: row.id },
        data: { lastOutcome: 'missed', lastDetail: detail },
      });
      await this.events.record(tx, { kind: 'schedule.missed', text: `${row.name}: ${detail}` });
    });
  }
}

const schedulerOf = ({ name }: Schedule): Actor => systemActor(`schedule-${name}`);

async function findSchedule(tx: Transaction, reference: string): Promise<Schedule> {
  const row = await tx.schedule.findFirst({ where: byReference(reference) });
  if (row) return row;
  throw new DrvsError('NotFound', `there is no schedule ${reference}`, { hint: 'See `drvs schedule list`.' });
}

/** A typing error shows when the schedule is made, and not at three in the morning. */
async function requireNode(tx: Transaction, plan: PlanRequest): Promise<void> {
  if ('node' in plan) await findNode(tx, plan.node);
}

const dateOf = (ms: number | null): Date | null => (ms === null ? null : new Date(ms));

function viewOf(row: Schedule): ScheduleView {
  const { id, name, cron, timeZone, enabled, lastRunAt, lastDetail, lastOperationId, createdBy } = row;
  return {
    name,
    id,
    cron,
    timeZone,
    plan: row.request as ScheduleView['plan'],
    enabled,
    missed: row.missed as ScheduleView['missed'],
    nextRuns: enabled && row.nextDueAt ? runsFrom(row.nextDueAt, dueTimes(cron, timeZone)) : [],
    lastRunAt: lastRunAt?.toISOString() ?? null,
    lastOutcome: row.lastOutcome as ScheduleView['lastOutcome'],
    lastDetail,
    lastOperation: lastOperationId,
    createdBy,
    createdAt: row.createdAt.toISOString(),
    generation: row.generation,
  };
}

function runsFrom(first: Date, times: DueTimes): string[] {
  const runs: string[] = [];
  for (let at: number | null = first.getTime(); at !== null && runs.length < SHOWN_RUNS; at = times.after(at))
    runs.push(new Date(at).toISOString());
  return runs;
}
