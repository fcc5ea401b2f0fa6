import { setTimeout as delay } from 'node:timers/promises';
import { DrvsError, type ProcessRow } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { AgentsService } from '../agents/agents.service.js';
import type { Actor } from '../auth/actor.js';
import { Database, type Transaction } from '../database/database.js';
import { eachAtMost } from '../jobs/each-at-most.js';
import { LocalNodes } from '../power/local-nodes.js';
import type { LiveDrvm, LiveNode, LiveState } from './live-snapshot.js';
import { type MeasuredProcess, measuredLoad } from './measured-load.js';

/** Between the two looks at the processes. */
const MEASURE_MS = 1_000;
/** A DRVM that does not answer within this is left out, and the plan says so. */
const LIST_TIMEOUT_MS = 5_000;
/** In these it runs, or should. */
const ASKED_IN: ReadonlySet<LiveDrvm['state']> = new Set(['running', 'degraded', 'failed']);
/** DRVMs asked at once. */
const ASKED_AT_ONCE = 16;
const HOUR_MS = 3_600_000;

const MovedPid = z.object({ pid: z.int() });
const MovedByPlan = z.object({ drvmId: z.string(), pid: z.int() });
const SliceMovedByPlan = z.object({ drvmId: z.string(), toId: z.string(), pids: z.array(z.int()) });

export interface Observation extends LiveState {
  /** Why nothing is known of the processes of a DRVM that should run, by its id. */
  silent: ReadonlyMap<string, string>;
}

/** Looks at the ledger and at the processes of the running DRVMs, as far as the actor may see them. */
@Injectable()
export class LiveStates {
  constructor(
    private readonly database: Database,
    private readonly agents: AgentsService,
    private readonly localNodes: LocalNodes,
  ) {}

  async observe(actor: Actor): Promise<Observation> {
    const { nodes, drvms, movedAtMs, changing } = await this.database.as(actor, async (tx) => ({
      nodes: await readNodes(tx),
      drvms: await readDrvms(tx),
      movedAtMs: await readMoves(tx, Date.now() - HOUR_MS),
      changing: await readChanging(tx),
    }));
    const running = drvms.filter(({ state }) => ASKED_IN.has(state));
    const before = await this.#look(running);
    await delay(MEASURE_MS);
    const after = await this.#look(running);
    const processes = new Map<string, MeasuredProcess[]>();
    const silent = new Map<string, string>();
    for (const { id } of running) {
      const [first, second] = [before.get(id), after.get(id)];
      if (!first || !second || first instanceof DrvsError || second instanceof DrvsError) {
        const error = second instanceof DrvsError ? second : first;
        silent.set(id, error instanceof DrvsError ? error.message : 'it did not answer');
        continue;
      }
      const reach = new Map(
        nodes.flatMap(({ name, slices }) =>
          slices
            .filter(({ drvmId }) => drvmId === id)
            .map(({ cpuMilli, ceilingCpuMilli }) => [name, Math.max(cpuMilli, ceilingCpuMilli)] as const),
        ),
      );
      processes.set(id, measuredLoad(first.rows, second.rows, second.atMs - first.atMs, reach));
    }
    const busy = new Set([
      ...changing,
      ...silent.keys(),
      ...drvms.flatMap(({ id, state }) => (state === 'creating' ? [id] : [])),
    ]);
    const switchable = await this.localNodes.names();
    return { atMs: Date.now(), nodes, drvms, processes, silent, movedAtMs, busy, switchable };
  }

  async #look(
    drvms: readonly LiveDrvm[],
  ): Promise<Map<string, { rows: ProcessRow[]; atMs: number } | DrvsError>> {
    const seen = new Map<string, { rows: ProcessRow[]; atMs: number } | DrvsError>();
    await eachAtMost(ASKED_AT_ONCE, drvms, async ({ id, homeIndex }) => {
      const look = await this.agents
        .containerCall(id, homeIndex, 'process.list', {}, { timeoutMs: LIST_TIMEOUT_MS })
        .then(({ result }) => ({ rows: result, atMs: Date.now() }))
        .catch((error: unknown) => DrvsError.from(error));
      seen.set(id, look);
    });
    return seen;
  }
}

function readNodes(tx: Transaction): Promise<LiveNode[]> {
  return tx.node.findMany({
    orderBy: { name: 'asc' },
    select: {
      id: true,
      name: true,
      wantedState: true,
      lastSeenAt: true,
      generation: true,
      inventory: true,
      traits: true,
      foundTraits: true,
      labels: true,
      taints: true,
      probation: true,
      hotSince: true,
      coldSince: true,
      inventories: true,
      slices: { orderBy: { drvmId: 'asc' } },
      power: true,
      failure: { select: { phase: true } },
    },
  });
}

function readDrvms(tx: Transaction): Promise<LiveDrvm[]> {
  return tx.drvm.findMany({
    orderBy: { id: 'asc' },
    select: {
      id: true,
      name: true,
      tenantId: true,
      state: true,
      generation: true,
      homeIndex: true,
      request: true,
      affinities: { select: { otherId: true, kind: true } },
      devices: { select: { nodeId: true } },
      tenant: { select: { weight: true } },
    },
  });
}

/** DRVMs that an operation is about to change: where they will be is not known yet. */
async function readChanging(tx: Transaction): Promise<string[]> {
  const rows = await tx.operation.findMany({
    where: { state: { in: ['queued', 'running'] }, kind: { startsWith: 'drvm.' }, drvmId: { not: null } },
    select: { drvmId: true },
  });
  return rows.flatMap(({ drvmId }) => drvmId ?? []);
}

/** When each process moved last since then, by `drvm/pid`, and each slice, by `drvm@node`: what moved lately stays, and an hour has only so many moves. */
async function readMoves(tx: Transaction, sinceMs: number): Promise<Map<string, number>> {
  const endedAt = { gte: new Date(sinceMs) };
  const moves = new Map<string, number>();
  const note = (key: string, at: Date | null): void => {
    moves.set(key, Math.max(moves.get(key) ?? 0, at?.getTime() ?? 0));
  };
  for (const { drvmId, params, endedAt: at } of await tx.operation.findMany({
    where: { kind: 'process.migrate', state: 'succeeded', endedAt },
    select: { drvmId: true, params: true, endedAt: true },
  })) {
    const moved = MovedPid.safeParse(params);
    if (drvmId !== null && moved.success) note(`${drvmId}/${moved.data.pid}`, at);
  }
  for (const { output, endedAt: at } of await tx.operationStep.findMany({
    where: { operation: { kind: 'plan.apply' }, state: 'succeeded', endedAt },
    select: { output: true, endedAt: true },
  })) {
    const moved = MovedByPlan.safeParse(output);
    if (moved.success) note(`${moved.data.drvmId}/${moved.data.pid}`, at);
    const slice = SliceMovedByPlan.safeParse(output);
    if (slice.success) note(`${slice.data.drvmId}@${slice.data.toId}`, at);
  }
  return moves;
}
