import { DrvsError, type ErrorBody } from '@drvs/contracts';
import { type Endpoint, formatEndpoint } from '../ipc/endpoint.js';

/**
 * The migration of processes as home decides it. Sans-I/O: events and time in, effects out; the driver carries the
 * effects to the containers and brings their answers back as events.
 *
 *   begin ─▶ Moving ──prepared──▶ Committed ──activated──▶ Done(moved)
 *              │ │                    └─target lost─▶ Done(process lost)
 *              │ └─source lost─▶ Orphaned ──prepared──▶ Committed
 *              │                     └─refused, target lost, time─▶ Discarding ─▶ Done(process lost)
 *              └─failed, refused, target lost, cancel, time─▶ Restoring ──rolledBack──▶ Discarding ─▶ Done(failed)
 *
 * `relocate` is the commit: the one atomic point, done by the driver at once, in the step that returns it. Before it
 * the source's copy is the process (frozen, or running again after rollback); after it the target's is.
 *
 * What the containers owe:
 * - source: on `start`, freezes, packs and sends the image to the target; on `release`, gives its copy up; on
 *   `rollback`, stops sending, then lets the process run on, and answers rolledBack (also when it knows nothing of
 *   the migration). It never lets a frozen process run on of itself; when it loses home it ends it, as all its
 *   processes are then declared dead.
 * - target: keeps an arriving image frozen, by migration id, and tells home prepared; refuses ids that it was told
 *   to discard; on `inquire`, says prepared again or refused; on `activate`, lets it run; on `discard`, drops it.
 * All are idempotent: an effect is given again when its answer stays out.
 *
 * Invariants: never two running copies; never none, unless the container that holds the only one is lost; one
 * migration per process at a time; one per request key, ever, while it is remembered.
 */
export interface MigrationRequest {
  readonly requestKey: string;
  readonly endpoint: Endpoint;
  readonly pid: number;
  readonly from: number;
  readonly to: number;
  /** Of the process's place now; the commit makes it one more. */
  readonly epoch: number;
}

export type MigrationEvent =
  /** The source could not freeze, pack or send. */
  | { kind: 'failed'; id: number; reason: string }
  /** The target holds the whole image, frozen. */
  | { kind: 'prepared'; id: number; bytes: number; at: number }
  /** The target has no such image, or could not install it. */
  | { kind: 'refused'; id: number; reason: string }
  /** It runs at the target; pauseMs from the freeze on. */
  | { kind: 'activated'; id: number; pauseMs: number }
  | { kind: 'released'; id: number }
  | { kind: 'rolledBack'; id: number }
  | { kind: 'discarded'; id: number }
  | { kind: 'containerLost'; index: number }
  /** Somebody wants it stopped; too late after the commit. */
  | { kind: 'cancel'; id: number }
  | { kind: 'tick' };

export type MigrationEffect =
  | { kind: 'start'; id: number; at: number; endpoint: Endpoint; pid: number; to: number }
  | { kind: 'inquire'; id: number; at: number; endpoint: Endpoint; pid: number }
  | { kind: 'relocate'; id: number; endpoint: Endpoint; pid: number; index: number; epoch: number }
  | { kind: 'activate'; id: number; at: number; endpoint: Endpoint; pid: number; epoch: number }
  | { kind: 'release'; id: number; at: number; endpoint: Endpoint; pid: number; to: number; epoch: number }
  | { kind: 'rollback'; id: number; at: number; endpoint: Endpoint; pid: number }
  | { kind: 'discard'; id: number; at: number; endpoint: Endpoint; pid: number }
  | { kind: 'finished'; id: number; request: MigrationRequest; outcome: MigrationOutcome };

export type MigrationOutcome =
  | { isMoved: true; bytes: number; pauseMs: number; totalMs: number }
  /** isProcessLost: the container with the only copy died; PM ends the process. */
  | { isMoved: false; isProcessLost: boolean; error: ErrorBody };

export enum MigrationState {
  Moving = 'moving',
  Orphaned = 'orphaned',
  Committed = 'committed',
  Restoring = 'restoring',
  Discarding = 'discarding',
  Done = 'done',
}

/** From start to prepared; an image of some GiB over a slow link needs a while. */
export const MOVE_TIMEOUT_MS = 60_000;
/** A lost source's image is complete at the target by then, or never will be. */
export const ORPHAN_TIMEOUT_MS = 10_000;
/** An effect whose answer stays out is given again after this. */
export const REPEAT_AFTER_MS = 5_000;
/** Finished migrations that are remembered by their request key. */
export const MAX_REMEMBERED = 1_024;
/** Under way at a time in one DRVM. */
export const MAX_UNDER_WAY = 256;

interface Migration {
  readonly id: number;
  readonly request: MigrationRequest;
  readonly startedMs: number;
  state: MigrationState;
  deadlineMs: number;
  repeatMs: number;
  bytes: number;
  outcome: MigrationOutcome | null;
  isActivated: boolean;
  isReleased: boolean;
  /** Why it is being undone. */
  failure: ErrorBody | null;
  isProcessLost: boolean;
}

export interface MigrationBegun {
  id: number;
  /** Set when the request key's migration had finished before. */
  outcome: MigrationOutcome | null;
  effects: MigrationEffect[];
}

export class MigrationCoordinator {
  readonly #underWay = new Map<number, Migration>();
  readonly #byEndpoint = new Map<number, Migration>();
  readonly #byKey = new Map<string, Migration>();
  readonly #lostContainers = new Set<number>();
  #nextId: number;

  /** `firstId`: not used by an earlier incarnation of home, so that late answers of its migrations match nothing. */
  constructor(firstId = 1) {
    this.#nextId = firstId;
  }

  /** Of migrations that have not come to their end. */
  get underWay(): number {
    return this.#underWay.size;
  }

  /** The id that the next migration gets. */
  get nextId(): number {
    return this.#nextId;
  }

  /** A container that was lost is back; until told, migrations to or from it are refused. */
  containerUp(index: number): void {
    this.#lostContainers.delete(index);
  }

  /** The process is under migration: PM must not end it because its node was lost; `finished` will say. */
  holds(endpoint: Endpoint): boolean {
    return this.#byEndpoint.has(endpoint);
  }

  stateOf(id: number): MigrationState | undefined {
    return this.#underWay.get(id)?.state;
  }

  /**
   * Begins a migration, or joins the one that the request key has begun.
   * @throws DrvsError MigrationUnderWay, StateConflict, InvalidInput, NodeUnreachable, TooManyRequests.
   */
  begin(request: MigrationRequest, nowMs: number): MigrationBegun {
    const known = this.#byKey.get(request.requestKey);
    if (known !== undefined) {
      const { endpoint, to } = known.request;
      if (endpoint !== request.endpoint || to !== request.to) {
        throw new DrvsError(
          'StateConflict',
          `the request key ${request.requestKey} was used for another migration`,
          {
            hint: 'Give each migration a key of its own.',
          },
        );
      }
      return { id: known.id, outcome: known.outcome, effects: [] };
    }
    this.#check(request);
    const migration: Migration = {
      id: this.#nextId++,
      request,
      startedMs: nowMs,
      state: MigrationState.Moving,
      deadlineMs: nowMs + MOVE_TIMEOUT_MS,
      repeatMs: Number.POSITIVE_INFINITY,
      bytes: 0,
      outcome: null,
      isActivated: false,
      isReleased: false,
      failure: null,
      isProcessLost: false,
    };
    this.#underWay.set(migration.id, migration);
    this.#byEndpoint.set(request.endpoint, migration);
    this.#byKey.set(request.requestKey, migration);
    const { endpoint, pid, from, to } = request;
    return {
      id: migration.id,
      outcome: null,
      effects: [{ kind: 'start', id: migration.id, at: from, endpoint, pid, to }],
    };
  }

  #check({ endpoint, pid, from, to }: MigrationRequest): void {
    if (from === to) {
      throw new DrvsError('InvalidInput', `process ${pid} is on that node already`, { field: 'to' });
    }
    if (this.#byEndpoint.has(endpoint)) {
      throw new DrvsError(
        'MigrationUnderWay',
        `process ${pid} (${formatEndpoint(endpoint)}) is migrating already`,
        {
          hint: 'Wait until that migration has ended, then ask again.',
        },
      );
    }
    for (const index of [from, to]) {
      if (this.#lostContainers.has(index)) {
        throw new DrvsError('NodeUnreachable', `container ${index} of this DRVM does not answer`, {
          hint: 'See `drvs node list`; migrate to another node meanwhile.',
        });
      }
    }
    if (this.#underWay.size >= MAX_UNDER_WAY) {
      throw new DrvsError('TooManyRequests', `${MAX_UNDER_WAY} migrations are under way in this DRVM`, {
        hint: 'Ask again when some have ended.',
      });
    }
  }

  /** Takes an event. Events of unknown or ended migrations do no harm: a stray image is discarded. */
  step(event: MigrationEvent, nowMs: number): MigrationEffect[] {
    const effects: MigrationEffect[] = [];
    if (event.kind === 'tick') {
      for (const migration of [...this.#underWay.values()]) this.#tick(migration, nowMs, effects);
      return effects;
    }
    if (event.kind === 'containerLost') {
      this.#lostContainers.add(event.index);
      for (const migration of [...this.#underWay.values()])
        this.#lose(migration, event.index, nowMs, effects);
      return effects;
    }
    const migration = this.#underWay.get(event.id);
    if (migration === undefined) {
      if (event.kind === 'prepared') {
        effects.push({ kind: 'discard', id: event.id, at: event.at, endpoint: NO_ENDPOINT, pid: 0 });
      }
      return effects;
    }
    this.#answer(migration, event, nowMs, effects);
    return effects;
  }

  #answer(
    migration: Migration,
    event: Exclude<MigrationEvent, { kind: 'tick' | 'containerLost' }>,
    nowMs: number,
    effects: MigrationEffect[],
  ): void {
    const { state } = migration;
    const isMoving = state === MigrationState.Moving;
    switch (event.kind) {
      case 'prepared':
        if (isMoving || state === MigrationState.Orphaned)
          this.#commit(migration, event.bytes, nowMs, effects);
        return;
      case 'failed':
        if (isMoving) this.#restore(migration, event.reason, nowMs, effects);
        return;
      case 'refused':
        if (isMoving) this.#restore(migration, event.reason, nowMs, effects);
        else if (state === MigrationState.Orphaned) this.#discard(migration, nowMs, effects);
        return;
      case 'cancel':
        if (isMoving) this.#restore(migration, 'it was cancelled', nowMs, effects, 'Cancelled');
        return;
      case 'activated':
        if (state !== MigrationState.Committed || migration.isActivated) return;
        migration.isActivated = true;
        this.#finish(
          migration,
          {
            isMoved: true,
            bytes: migration.bytes,
            pauseMs: event.pauseMs,
            totalMs: nowMs - migration.startedMs,
          },
          effects,
        );
        this.#endIfSettled(migration);
        return;
      case 'released':
        if (state !== MigrationState.Committed) return;
        migration.isReleased = true;
        this.#endIfSettled(migration);
        return;
      case 'rolledBack':
        if (state === MigrationState.Restoring) this.#discard(migration, nowMs, effects);
        return;
      case 'discarded':
        if (state === MigrationState.Discarding) this.#fail(migration, effects);
        return;
    }
  }

  #commit(migration: Migration, bytes: number, nowMs: number, effects: MigrationEffect[]): void {
    const { id, request } = migration;
    const { endpoint, pid, to } = request;
    migration.state = MigrationState.Committed;
    migration.bytes = bytes;
    migration.deadlineMs = Number.POSITIVE_INFINITY;
    effects.push({ kind: 'relocate', id, endpoint, pid, index: to, epoch: request.epoch + 1 });
    migration.isReleased = this.#lostContainers.has(request.from);
    this.#carryOn(migration, nowMs, effects);
  }

  #restore(
    migration: Migration,
    reason: string,
    nowMs: number,
    effects: MigrationEffect[],
    code: 'MigrationFailed' | 'Cancelled' = 'MigrationFailed',
  ): void {
    const { pid } = migration.request;
    migration.state = MigrationState.Restoring;
    migration.deadlineMs = Number.POSITIVE_INFINITY;
    migration.failure = {
      code,
      message: `process ${pid} was not migrated: ${reason}`,
      hint: 'It goes on where it was.',
    };
    this.#carryOn(migration, nowMs, effects);
  }

  #discard(migration: Migration, nowMs: number, effects: MigrationEffect[]): void {
    migration.state = MigrationState.Discarding;
    migration.deadlineMs = Number.POSITIVE_INFINITY;
    if (this.#lostContainers.has(migration.request.to)) this.#fail(migration, effects);
    else this.#carryOn(migration, nowMs, effects);
  }

  /** Gives the effects of the present state, for the first time or again. */
  #carryOn(migration: Migration, nowMs: number, effects: MigrationEffect[]): void {
    const { id, request, state } = migration;
    const { endpoint, pid, from, to } = request;
    const epoch = request.epoch + 1;
    migration.repeatMs = nowMs + REPEAT_AFTER_MS;
    if (state === MigrationState.Orphaned) effects.push({ kind: 'inquire', id, at: to, endpoint, pid });
    if (state === MigrationState.Restoring) effects.push({ kind: 'rollback', id, at: from, endpoint, pid });
    if (state === MigrationState.Discarding) effects.push({ kind: 'discard', id, at: to, endpoint, pid });
    if (state !== MigrationState.Committed) return;
    if (!migration.isActivated) effects.push({ kind: 'activate', id, at: to, endpoint, pid, epoch });
    if (!migration.isReleased) effects.push({ kind: 'release', id, at: from, endpoint, pid, to, epoch });
  }

  #lose(migration: Migration, index: number, nowMs: number, effects: MigrationEffect[]): void {
    const { request, state } = migration;
    if (index === request.from) {
      if (state === MigrationState.Moving) {
        migration.state = MigrationState.Orphaned;
        migration.deadlineMs = nowMs + ORPHAN_TIMEOUT_MS;
        migration.isProcessLost = true;
        migration.failure = this.#lostError(request, 'its node was lost before its image had left it');
        this.#carryOn(migration, nowMs, effects);
      } else if (state === MigrationState.Restoring) {
        migration.isProcessLost = true;
        migration.failure = this.#lostError(request, 'its node was lost');
        this.#discard(migration, nowMs, effects);
      } else if (state === MigrationState.Discarding) {
        migration.isProcessLost = true;
        migration.failure = this.#lostError(request, 'its node was lost');
      } else if (state === MigrationState.Committed) {
        migration.isReleased = true;
        this.#endIfSettled(migration);
      }
    }
    if (index !== request.to || !this.#underWay.has(migration.id)) return;
    if (state === MigrationState.Moving) {
      this.#restore(migration, `container ${index}, its target, was lost`, nowMs, effects);
    } else if (state === MigrationState.Orphaned || state === MigrationState.Discarding) {
      this.#fail(migration, effects);
    } else if (state === MigrationState.Committed) {
      if (!migration.isActivated) {
        migration.isProcessLost = true;
        migration.failure = this.#lostError(request, 'the node that it had moved to was lost');
        this.#finish(migration, { isMoved: false, isProcessLost: true, error: migration.failure }, effects);
        migration.isActivated = true;
      }
      this.#endIfSettled(migration);
    }
  }

  #lostError(request: MigrationRequest, why: string): ErrorBody {
    return {
      code: 'MigrationFailed',
      message: `process ${request.pid} has ended during its migration: ${why}`,
      hint: 'Start it again; programs that must outlive a node are to be replicated.',
    };
  }

  #tick(migration: Migration, nowMs: number, effects: MigrationEffect[]): void {
    if (nowMs >= migration.deadlineMs) {
      if (migration.state === MigrationState.Moving) {
        this.#restore(migration, `it took longer than ${MOVE_TIMEOUT_MS} ms`, nowMs, effects);
      } else if (migration.state === MigrationState.Orphaned) {
        this.#discard(migration, nowMs, effects);
      }
      return;
    }
    if (nowMs >= migration.repeatMs) this.#carryOn(migration, nowMs, effects);
  }

  #fail(migration: Migration, effects: MigrationEffect[]): void {
    const { failure, isProcessLost } = migration;
    if (failure === null) throw new Error('a migration fails for a reason');
    this.#finish(migration, { isMoved: false, isProcessLost, error: failure }, effects);
    this.#end(migration);
  }

  #finish(migration: Migration, outcome: MigrationOutcome, effects: MigrationEffect[]): void {
    if (migration.outcome !== null) throw new Error('a migration ends once');
    migration.outcome = outcome;
    effects.push({ kind: 'finished', id: migration.id, request: migration.request, outcome });
  }

  #endIfSettled(migration: Migration): void {
    if (migration.isActivated && migration.isReleased) this.#end(migration);
  }

  #end(migration: Migration): void {
    migration.state = MigrationState.Done;
    this.#underWay.delete(migration.id);
    this.#byEndpoint.delete(migration.request.endpoint);
    this.#forgetOldKeys();
  }

  #forgetOldKeys(): void {
    let surplus = this.#byKey.size - MAX_REMEMBERED - this.#underWay.size;
    for (const [key, migration] of this.#byKey) {
      if (surplus <= 0) return;
      if (migration.state !== MigrationState.Done) continue;
      this.#byKey.delete(key);
      surplus--;
    }
  }
}

/** A stray image's discard names the migration alone. */
const NO_ENDPOINT = 0 as Endpoint;
