import { ByteReader } from '../codec/byte-cursor.js';
import { SyncClient, type SyncClientEffect, type SyncClientOptions } from '../sync/sync-client.js';
import { GateMode, type SyncOperation, type SyncResult, SyncStatus } from '../sync/sync-operation.js';
import {
  checkLinearizable,
  type ObservedOperation,
  type RegisterInput,
  type RegisterOutput,
  registerModel,
  withoutUnseen,
} from './linearizability.js';
import { Alarm, type SimulatedNode, type World } from './world.js';

/** Operations on one register before the next one is used: what a history is judged by must stay small. */
const OPERATIONS_PER_REGISTER = 60;
const LOCKS = 2;
const REGISTERS = 2;
/** Of a read-write lock and a semaphore beside the plain locks. */
const SEMAPHORE_PERMITS = 2;

interface Asked {
  readonly calledAt: number;
  readonly what:
    | { kind: 'register'; name: string; input: RegisterInput }
    | { kind: 'gate'; name: string; mode: GateMode; tokenBefore: number }
    | { kind: 'other' };
  /** When it was told to wait. */
  waitingSince: number;
}

interface Held {
  readonly name: string;
  readonly mode: GateMode;
  readonly token: number;
}

type Observed = ObservedOperation<RegisterInput, RegisterOutput>;

/**
 * Clients that lock, release, read, write, compare and add as the seed says, and what must hold of their answers:
 * mutual exclusion (by the clients' own belief, as far as their leases allow it), growing fencing tokens, first come
 * first served, and linearizable registers.
 */
export class SyncWorkload {
  readonly #clients: WorkloadClient[] = [];
  readonly #histories = new Map<string, Observed[]>();
  readonly #registerUses: number[] = new Array(REGISTERS).fill(0);
  readonly #highestToken = new Map<string, number>();
  isOpen = true;

  constructor(
    readonly world: World,
    readonly group: number,
    nodes: readonly SimulatedNode[],
    options: Omit<SyncClientOptions, 'client' | 'nowMs' | 'random'>,
    readonly transmit: (from: SimulatedNode, to: number, frame: Buffer) => void,
  ) {
    const homes = [...nodes, ...nodes];
    homes.forEach((node, at) => {
      this.#clients.push(new WorkloadClient(this, at, node, options));
    });
  }

  get clients(): readonly WorkloadClient[] {
    return this.#clients;
  }

  registerName(): { name: string; isCounter: boolean } {
    const { random } = this.world;
    const at = random.below(REGISTERS);
    const part = Math.floor(this.#registerUses[at]!++ / OPERATIONS_PER_REGISTER);
    const isCounter = at === 1;
    return { name: `${isCounter ? 'counter' : 'register'}-${part}`, isCounter };
  }

  gateName(mode: GateMode): string {
    if (mode === GateMode.Permits) return 'semaphore';
    return mode === GateMode.Shared || this.world.random.isLucky(0.3)
      ? 'shared'
      : `lock-${this.world.random.below(LOCKS)}`;
  }

  tokenBefore(name: string): number {
    return this.#highestToken.get(name) ?? 0;
  }

  granted(client: WorkloadClient, held: Held, asked: Asked & { what: { kind: 'gate' } }): void {
    const { name, mode, token } = held;
    this.world.count('grants');
    if (token <= asked.what.tokenBefore) {
      this.#violation(
        `fencing: ${name} is granted with ${token} after ${asked.what.tokenBefore} had been seen`,
      );
    }
    this.#highestToken.set(name, Math.max(this.tokenBefore(name), token));
    if (!client.isAlive) return;
    let permits = 1;
    for (const other of this.#clients) {
      if (other === client || !other.isAlive) continue;
      const theirs = other.held.filter((one) => one.name === name);
      permits += theirs.length;
      const isExclusive =
        mode === GateMode.Exclusive || theirs.some((one) => one.mode === GateMode.Exclusive);
      if (theirs.length > 0 && isExclusive) {
        this.#violation(
          `mutual exclusion: ${name} is held by client ${other.index} and granted to ${client.index}`,
        );
      }
      if (mode === GateMode.Exclusive && other.hasWaitedSince(name, asked.calledAt)) {
        this.#violation(
          `fairness: ${name} goes to client ${client.index} before ${other.index}, which came first`,
        );
      }
    }
    permits += client.held.filter((one) => one.name === name).length - 1;
    if (mode === GateMode.Permits && permits > SEMAPHORE_PERMITS) {
      this.#violation(`${permits} permits of ${SEMAPHORE_PERMITS} of ${name} are given`);
    }
  }

  record(name: string, operation: Observed): void {
    let history = this.#histories.get(name);
    if (history === undefined) {
      history = [];
      this.#histories.set(name, history);
    }
    history.push(operation);
  }

  /** Judges the registers; what is still without an answer will get none. */
  judge(): void {
    for (const client of this.#clients) client.abandon();
    for (const [name, history] of this.#histories) {
      const verdict = checkLinearizable(registerModel, withoutUnseen(history));
      this.world.count('historiesJudged');
      if (verdict === 'violated') this.#violation(`linearizability: ${name}, ${history.length} operations`);
      if (verdict === 'undecided') this.world.count('historiesUndecided');
    }
    this.#histories.clear();
  }

  #violation(what: string): void {
    this.world.violation(`group ${this.group}: ${what}`);
  }
}

export class WorkloadClient {
  #client: SyncClient;
  #alarm: Alarm;
  #asked = new Map<number, Asked>();
  #lastId = 0;
  held: Held[] = [];
  #generation = 0;

  constructor(
    readonly workload: SyncWorkload,
    readonly index: number,
    readonly node: SimulatedNode,
    readonly options: Omit<SyncClientOptions, 'client' | 'nowMs' | 'random'>,
  ) {
    this.#client = this.#newClient();
    this.#alarm = this.#newAlarm();
    workload.world.after(index, () => this.#step({ kind: 'tick' }));
    this.#act();
  }

  get isAlive(): boolean {
    return this.#client.isAlive(this.workload.world.localMs(this.node));
  }

  get isIdle(): boolean {
    return this.#asked.size === 0;
  }

  hasWaitedSince(name: string, beforeMs: number): boolean {
    return [...this.#asked.values()].some(
      ({ what, waitingSince }) =>
        what.kind === 'gate' &&
        what.name === name &&
        what.mode === GateMode.Exclusive &&
        waitingSince < beforeMs,
    );
  }

  receive(frame: Buffer): void {
    if (this.node.isUp) this.#step({ kind: 'frame', frame });
  }

  /** Its process ends without a word, and another begins. */
  restart(): void {
    this.#generation++;
    this.abandon();
    this.held = [];
    this.#client = this.#newClient();
    this.#alarm = this.#newAlarm();
    this.#step({ kind: 'tick' });
    this.#act();
  }

  /** What has no answer never gets one. */
  abandon(): void {
    for (const [id, asked] of this.#asked) this.#forget(id, asked);
    this.#asked.clear();
  }

  #forget(_id: number, { what, calledAt }: Asked): void {
    if (what.kind !== 'register' || what.input.kind === 'read') return;
    this.workload.record(what.name, {
      input: what.input,
      output: undefined,
      calledAt,
      returnedAt: Number.POSITIVE_INFINITY,
    });
  }

  #newClient(): SyncClient {
    const nowMs = this.workload.world.localMs(this.node);
    return new SyncClient({
      ...this.options,
      client: this.index + 1,
      nowMs,
      random: this.workload.world.random.next,
    });
  }

  #newAlarm(): Alarm {
    const client = this.#client;
    const generation = this.#generation;
    return new Alarm(
      this.workload.world,
      this.node,
      () => client.nextDeadlineMs,
      () => {
        if (generation === this.#generation) this.#step({ kind: 'tick' });
      },
    );
  }

  #step(event: Parameters<SyncClient['step']>[0]): void {
    const { world } = this.workload;
    for (const effect of this.#client.step(event, world.localMs(this.node))) this.#carryOut(effect);
    this.#alarm.set();
  }

  #carryOut(effect: SyncClientEffect): void {
    switch (effect.kind) {
      case 'send':
        this.workload.transmit(this.node, effect.to, effect.frame);
        return;
      case 'opened':
        return;
      case 'lost':
        this.workload.world.count('sessionsLost');
        this.held = [];
        this.abandon();
        return;
      case 'result':
        this.#result(effect.id, effect.result);
    }
  }

  #result(id: number, result: SyncResult): void {
    const asked = this.#asked.get(id);
    if (asked === undefined) return;
    const { world } = this.workload;
    if (result.status === SyncStatus.Waiting) {
      asked.waitingSince = world.nowMs;
      return;
    }
    this.#asked.delete(id);
    world.count('operations');
    const { what, calledAt } = asked;
    if (what.kind === 'gate' && result.status === SyncStatus.Granted) {
      const held = { name: what.name, mode: what.mode, token: result.token };
      this.workload.granted(this, held, { ...asked, what });
      this.held.push(held);
    }
    if (what.kind !== 'register') return;
    const isAnswered = result.status === SyncStatus.Done || result.status === SyncStatus.Conflict;
    if (!isAnswered) {
      if (result.status !== SyncStatus.SessionExpired && result.status !== SyncStatus.LimitReached) {
        this.#forget(id, asked);
      }
      return;
    }
    this.workload.record(what.name, {
      input: what.input,
      output: outputOf(what.input, result),
      calledAt,
      returnedAt: world.nowMs,
    });
  }

  /** Does something now and then. */
  #act(): void {
    const { world } = this.workload;
    const generation = this.#generation;
    world.afterOn(this.node, world.random.between(3, 45), () => {
      if (generation !== this.#generation) return;
      if (this.workload.isOpen) this.#actOnce();
      else this.#releaseOne();
      this.#act();
    });
  }

  /** To be called when the node is up again: what was to be done before is forgotten. */
  resume(): void {
    this.restart();
  }

  #releaseOne(): void {
    const held = this.held.shift();
    if (held === undefined) return;
    this.#operate({ kind: 'release', name: held.name, token: held.token }, { kind: 'other' });
  }

  #actOnce(): void {
    const { random } = this.workload.world;
    if (this.#client.session === 0 || this.#asked.size >= 4) return;
    const dice = random.next();
    if (dice < 0.3) this.#releaseOne();
    else if (dice < 0.5) this.#acquire();
    else this.#useRegister();
  }

  #acquire(): void {
    const { random } = this.workload.world;
    const mode = random.pick([GateMode.Exclusive, GateMode.Exclusive, GateMode.Shared, GateMode.Permits]);
    const name = this.workload.gateName(mode);
    // It would wait for itself.
    const isInvolved = [...this.#asked.values()].some(({ what }) => what.kind === 'gate');
    if (isInvolved || this.held.length > 0) return;
    this.#operate(
      {
        kind: 'acquire',
        name,
        mode,
        permits: 1,
        capacity: mode === GateMode.Permits ? SEMAPHORE_PERMITS : 0,
        isTry: random.isLucky(0.2),
        value: new Uint8Array(0),
      },
      { kind: 'gate', name, mode, tokenBefore: this.workload.tokenBefore(name) },
    );
  }

  #useRegister(): void {
    const { random } = this.workload.world;
    const { name, isCounter } = this.workload.registerName();
    const isRead = random.isLucky(0.4);
    if (isRead) {
      const id = this.#note({ kind: 'register', name, input: { kind: 'read' } });
      const isLeaseEnough = random.isLucky(0.5);
      this.#step({ kind: 'ask', id, question: { kind: 'read', name }, isLeaseEnough });
      return;
    }
    if (isCounter) {
      this.#operate(
        { kind: 'add', name, amount: 1 },
        { kind: 'register', name, input: { kind: 'add', amount: 1 } },
      );
      return;
    }
    const value = String(random.below(1_000));
    if (random.isLucky(0.6)) {
      this.#operate(
        { kind: 'write', name, value: Buffer.from(value), lock: '', fence: 0 },
        { kind: 'register', name, input: { kind: 'write', value } },
      );
      return;
    }
    const expected = random.isLucky(0.3) ? '' : String(random.below(1_000));
    this.#operate(
      { kind: 'compareAndSet', name, expected: Buffer.from(expected), value: Buffer.from(value) },
      { kind: 'register', name, input: { kind: 'compareAndSet', expected, value } },
    );
  }

  #operate(operation: SyncOperation, what: Asked['what']): void {
    this.#step({ kind: 'operate', id: this.#note(what), operation });
  }

  #note(what: Asked['what']): number {
    const id = ++this.#lastId;
    this.#asked.set(id, {
      calledAt: this.workload.world.nowMs,
      what,
      waitingSince: Number.POSITIVE_INFINITY,
    });
    return id;
  }
}

function outputOf(input: RegisterInput, { status, token, value }: SyncResult): RegisterOutput {
  switch (input.kind) {
    case 'read':
      // Counters are 8 bytes, the texts written here never.
      return value.length === 8 ? String(new ByteReader(value).u64()) : Buffer.from(value).toString();
    case 'write':
      return '';
    case 'compareAndSet':
      return status === SyncStatus.Done ? '' : `!${Buffer.from(value).toString()}`;
    case 'add':
      return String(token);
  }
}
