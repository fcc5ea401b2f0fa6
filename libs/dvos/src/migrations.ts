import { DrvsError, type ErrorCode, MigrationResult } from '@drvs/contracts';
import {
  type IpcKernel,
  MAX_REMEMBERED,
  MigrationCoordinator,
  type MigrationEffect,
  type MigrationEvent,
} from '@drvs/drvmm-core';
import { z } from 'zod';
import type { Nodes } from './nodes.js';
import type { ProcessEntry } from './servers/pm/table.js';

/**
 * Carries the effects of the migration coordinator (drvmm-core/migration, which decides everything) to the system
 * tasks and their answers back.
 *
 *     start ──▶ systask.depart at the source, which sends the image to the target ──▶ prepared
 *     relocate ──▶ the directory and the process table, at once: the atomic point
 *     activate ──▶ target    release ──▶ source    rollback ──▶ source    discard ──▶ target
 */
export interface MigrationsOptions {
  readonly ipc: IpcKernel;
  readonly nodes: Nodes;
  /** What another home knew of migrations before this one. */
  readonly former?: MigrationsState;
  entryOf(endpoint: ProcessEntry['endpoint']): ProcessEntry | undefined;
  /** Sends the program to a node that may not have it. */
  provide(index: number, programHash: string): Promise<void>;
  /** Told once, before whoever asked gets the answer. */
  onFinished(entry: ProcessEntry, outcome: MigrationOutcome): void;
}

/** What the next home must know: ids are not given again, and requests that are repeated get the same answer. */
export const MigrationsState = z.object({
  nextId: z.int(),
  results: z.array(z.tuple([z.string(), MigrationResult])),
});
export type MigrationsState = z.infer<typeof MigrationsState>;

export type MigrationOutcome =
  | { kind: 'moved'; result: MigrationResult }
  | { kind: 'stayed'; reason: string }
  | { kind: 'lost'; reason: string };

interface Waiter {
  resolve(result: MigrationResult): void;
  reject(error: DrvsError): void;
}

/** Longer than the coordinator waits for an image, which calls it off by a rollback. */
const DEPART_TIMEOUT_MS = 120_000;
/** The coordinator repeats an effect that stays unanswered. */
const STEP_TIMEOUT_MS = 4_500;
const TICK_MS = 500;
/** Ids of a former life of home are at most this far behind: its seconds since 1970 times this. */
const IDS_PER_SECOND = 1_000;
/** As many as the coordinator remembers, with those under way. */
const RESULTS_MOST = 2 * MAX_REMEMBERED;
/** Errors that do not tell whether the step was taken: the coordinator asks again. */
const NO_ANSWER: ReadonlySet<ErrorCode> = new Set(['Timeout', 'NodeUnreachable', 'ContainerUnreachable']);

export class Migrations {
  readonly #o: MigrationsOptions;
  readonly #coordinator: MigrationCoordinator;
  readonly #waiters = new Map<number, Waiter[]>();
  /** When the image of a migration was complete at its target, and how long it had been frozen by then. */
  readonly #frozen = new Map<number, { frozenMs: number; rounds: number; at: number }>();
  /** To be given when the source has let go too, so that who has the answer can migrate the process again at once. */
  readonly #answers = new Set<{ endpoint: ProcessEntry['endpoint']; give(): void }>();
  /** Of migrations that the coordinator remembers, by their request keys. */
  readonly #results = new Map<string, MigrationResult>();
  #ticker: NodeJS.Timeout | null = null;

  constructor(options: MigrationsOptions) {
    this.#o = options;
    const { former } = options;
    const first = Math.floor(Date.now() / 1000) * IDS_PER_SECOND;
    this.#coordinator = new MigrationCoordinator(Math.max(first, former?.nextId ?? 0));
    for (const [key, result] of former?.results ?? []) this.#results.set(key, result);
  }

  get isIdle(): boolean {
    return this.#coordinator.underWay === 0;
  }

  pack(): MigrationsState {
    return { nextId: this.#coordinator.nextId, results: [...this.#results] };
  }

  /** The answer given to this request before. */
  resultOf(requestKey: string): MigrationResult | undefined {
    return this.#results.get(requestKey);
  }

  /** PM must not end the process for the loss of a node: `onFinished` will say. */
  holds(entry: ProcessEntry): boolean {
    return this.#coordinator.holds(entry.endpoint);
  }

  /**
   * Moves a process; asked again with the same key, the same answer.
   * @throws DrvsError MigrationUnderWay, MigrationFailed (it stays where it was, or was lost with its node), ...
   */
  async move(entry: ProcessEntry, to: number, requestKey: string): Promise<MigrationResult> {
    const { endpoint, pid, index: from } = entry;
    const epoch = this.#o.ipc.epochOf(endpoint) ?? 1;
    const { id, outcome, effects } = this.#coordinator.begin(
      { requestKey, endpoint, pid, from, to, epoch },
      performance.now(),
    );
    if (outcome !== null) {
      const result = this.#results.get(requestKey);
      if (result !== undefined) return result;
      throw outcome.isMoved
        ? new DrvsError(
            'StateConflict',
            `the migration ${requestKey} was done long ago; its figures are forgotten`,
          )
        : DrvsError.fromBody(outcome.error);
    }
    const answer = new Promise<MigrationResult>((resolve, reject) => {
      const waiters = this.#waiters.get(id) ?? [];
      this.#waiters.set(id, [...waiters, { resolve, reject }]);
    });
    if (effects.length > 0 && entry.ending === null) entry.state = 'migrating';
    this.#ticker ??= setInterval(() => this.#step({ kind: 'tick' }), TICK_MS).unref();
    this.#carryOut(effects);
    return answer;
  }

  nodeLost(index: number): void {
    this.#step({ kind: 'containerLost', index });
  }

  nodeBack(index: number): void {
    this.#coordinator.containerUp(index);
  }

  close(): void {
    if (this.#ticker !== null) clearInterval(this.#ticker);
    this.#ticker = null;
  }

  #step(event: MigrationEvent): void {
    this.#carryOut(this.#coordinator.step(event, performance.now()));
    for (const answer of this.#answers) {
      if (this.#coordinator.holds(answer.endpoint)) continue;
      this.#answers.delete(answer);
      answer.give();
    }
  }

  #carryOut(effects: readonly MigrationEffect[]): void {
    for (const effect of effects) {
      switch (effect.kind) {
        case 'relocate':
          this.#relocate(effect);
          break;
        case 'finished':
          this.#finish(effect);
          break;
        default:
          void this.#send(effect);
      }
    }
  }

  #relocate({ endpoint, index, epoch }: MigrationEffect & { kind: 'relocate' }): void {
    const entry = this.#o.entryOf(endpoint);
    if (entry !== undefined) entry.index = index;
    this.#o.ipc.setLocation(endpoint, index, epoch);
  }

  /** One step at a system task. What it answers, or that it refuses, is an event; no answer is none. */
  async #send(effect: Exclude<MigrationEffect, { kind: 'relocate' | 'finished' }>): Promise<void> {
    const { id, at, endpoint } = effect;
    const options = { timeoutMs: STEP_TIMEOUT_MS };
    try {
      const { systask } = this.#o.nodes.at(at);
      switch (effect.kind) {
        case 'start': {
          const entry = this.#o.entryOf(endpoint);
          if (entry === undefined) throw new DrvsError('NotFound', `process ${effect.pid} has ended`);
          await this.#o.provide(effect.to, entry.programHash);
          const depart = { id, endpoint, to: effect.to };
          const { bytes, frozenMs, rounds } = await systask('systask.depart', depart, {
            timeoutMs: DEPART_TIMEOUT_MS,
          });
          this.#frozen.set(id, { frozenMs, rounds, at: performance.now() });
          this.#step({ kind: 'prepared', id, bytes, at: effect.to });
          return;
        }
        case 'inquire': {
          const { isInstalled } = await systask('systask.arrived', { id }, options);
          if (isInstalled) this.#step({ kind: 'prepared', id, bytes: 0, at });
          else this.#step({ kind: 'refused', id, reason: 'the image had not arrived whole' });
          return;
        }
        case 'activate': {
          await systask('systask.activate', { id, endpoint, epoch: effect.epoch }, options);
          const frozen = this.#frozen.get(id);
          const pauseMs = frozen ? frozen.frozenMs + performance.now() - frozen.at : 0;
          this.#step({ kind: 'activated', id, pauseMs });
          return;
        }
        case 'release':
          await systask('systask.departed', { endpoint, to: effect.to, epoch: effect.epoch }, options);
          this.#step({ kind: 'released', id });
          return;
        case 'rollback':
          await systask('systask.rollback', { id, endpoint }, options);
          this.#step({ kind: 'rolledBack', id });
          return;
        case 'discard':
          await systask('systask.callOff', { id }, options);
          this.#step({ kind: 'discarded', id });
          return;
      }
    } catch (thrown) {
      const error = DrvsError.from(thrown);
      if (effect.kind === 'start') this.#step({ kind: 'failed', id, reason: error.message });
      else if (!NO_ANSWER.has(error.code))
        console.error(`migration ${id}: ${effect.kind} at node ${at}:`, error);
    }
  }

  #finish({ id, request, outcome }: MigrationEffect & { kind: 'finished' }): void {
    const rounds = this.#frozen.get(id)?.rounds ?? 1;
    this.#frozen.delete(id);
    const entry = this.#o.entryOf(request.endpoint);
    if (entry !== undefined && entry.ending === null) entry.state = 'alive';
    const waiters = this.#waiters.get(id) ?? [];
    this.#waiters.delete(id);
    if (outcome.isMoved) {
      const result = this.#resultOf(request, outcome, rounds);
      this.#results.set(request.requestKey, result);
      for (const oldest of this.#results.keys()) {
        if (this.#results.size <= RESULTS_MOST) break;
        this.#results.delete(oldest);
      }
      if (entry !== undefined) this.#o.onFinished(entry, { kind: 'moved', result });
      const give = () => {
        for (const { resolve } of waiters) resolve(result);
      };
      this.#answers.add({ endpoint: request.endpoint, give });
      return;
    }
    const { isProcessLost, error } = outcome;
    if (entry !== undefined) {
      this.#o.onFinished(entry, { kind: isProcessLost ? 'lost' : 'stayed', reason: error.message });
    }
    for (const { reject } of waiters) reject(DrvsError.fromBody(error));
  }

  #resultOf(
    { pid, from, to }: { pid: number; from: number; to: number },
    { bytes, pauseMs, totalMs }: { bytes: number; pauseMs: number; totalMs: number },
    rounds: number,
  ): MigrationResult {
    const { nodes } = this.#o;
    return { pid, from: nodes.nameOf(from), to: nodes.nameOf(to), bytes, pauseMs, totalMs, rounds };
  }
}
