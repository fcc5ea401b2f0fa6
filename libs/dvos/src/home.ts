import {
  type ContainerEvent,
  DrvsError,
  type ExitStatus,
  type MigrationResult,
  type ProcessRow,
  type RpcContext,
  type StartProcess,
} from '@drvs/contracts';
import { EBUSY, EIO, type IpcKernel, OK } from '@drvs/drvmm-core';
import { z } from 'zod';
import { type Ending, endingOfSignal } from './kernel/ending.js';
import { PAGE_BYTES } from './kernel/process.js';
import { SIGKILL, SIGTERM, signalNamed } from './kernel/signals.js';
import type { Counters, EndedReport, NodeCounters } from './kernel/systask.js';
import { readMeta } from './loader/meta.js';
import { type MigrationOutcome, Migrations, MigrationsState } from './migrations.js';
import type { DrvmNode, Nodes } from './nodes.js';
import { type PlacementCandidate, placeProcess } from './placement.js';
import type { ProcessJournal } from './process-journal.js';
import { PROGRAM_BYTES_MOST, type Programs } from './programs.js';
import type { PmActions } from './servers/pm/pm.js';
import { PROCESSES_MOST, type ProcessEntry, ProcessTable, TableSnapshot } from './servers/pm/table.js';
import type { TtyControl } from './servers/tty/main.js';
import type { VfsControl } from './servers/vfs/control.js';
import { VfsHandover } from './servers/vfs/handover.js';

/** Answers to starts kept by their callers' keys. */
const REQUEST_KEYS_MOST = 10_000;
/** argv and environment together, as Linux's ARG_MAX is by default. */
const ARGUMENTS_BYTES_MOST = 2 * 1024 * 1024;
/** A node that does not tell its counters within this is shown as it was last seen, and gets no new process. */
const COUNTERS_TIMEOUT_MS = 2_000;
/** Output handed over at a time. */
const OUTPUT_CHUNK_BYTES = 64 * 1024;
/** Sending a program of 64 MiB over a slow link, and compiling it. */
const PROGRAM_TIMEOUT_MS = 120_000;
/** While guests are asked to end, looked at so often. */
const STOP_POLL_MS = 20;

export interface HomeOptions {
  readonly drvmId: string;
  readonly ipc: IpcKernel;
  readonly nodes: Nodes;
  readonly programs: Programs;
  readonly journal: ProcessJournal;
  readonly vfs: VfsControl;
  readonly tty: TtyControl;
  readonly emit: (event: ContainerEvent) => void;
  /** What the former home knew: this one goes on where that stopped. Without it, a new life begins. */
  readonly former?: HomeState;
}

/**
 * What the home container does for the whole DRVM: the process table and everything that users ask of processes.
 * PM (servers/pm) answers the guests' own calls from the same table.
 */
export class Home implements PmActions {
  readonly table: ProcessTable;
  readonly #o: HomeOptions;
  readonly #migrations: Migrations;
  readonly #starts = new Map<string, Promise<{ pid: number; node: string }>>();
  readonly #endWaiters = new Map<number, Set<() => void>>();
  /** Signals for processes that are between two nodes. */
  readonly #heldSignals = new Map<number, number[]>();
  /** Answers to starts, by their callers' keys. */
  readonly #started = new Map<string, { pid: number; node: string }>();
  /** Aborted, with the reason for those who wait here, when another container becomes home. */
  readonly #leaving = new AbortController();
  #isStopping = false;
  #guestMigrations = 0;
  /** Calls of users that are being carried out, and signals under way. */
  #underWay = 0;

  constructor(options: HomeOptions) {
    this.#o = options;
    const { journal, former: state } = options;
    this.table = state
      ? ProcessTable.restore(state.table)
      : new ProcessTable({ lastPid: journal.lastPid, lastGeneration: journal.lastGeneration });
    this.#migrations = new Migrations({
      ipc: options.ipc,
      nodes: options.nodes,
      provide: (index, hash) => this.#provide(options.nodes.at(index), hash, null),
      entryOf: (endpoint) => this.table.byEndpoint(endpoint),
      onFinished: (entry, outcome) => this.#migrated(entry, outcome),
      former: state?.migrations,
    });
    if (state) {
      this.#guestMigrations = state.guestMigrations;
      for (const [key, answer] of state.starts) {
        this.#started.set(key, answer);
        this.#starts.set(key, Promise.resolve(answer));
      }
      for (const { pid } of this.table.alive()) options.tty.reopen(pid);
      return;
    }
    const now = Date.now();
    for (const former of journal.former) {
      if (former.ending === null) {
        journal.ended(former.pid, FORMER_LIFE, now);
        this.#say('process.exited', former.pid, former.index, `${former.command}: ${FORMER_LIFE.reason}`);
      }
      this.table.addEnded({
        ...former,
        endpoint: 0 as ProcessEntry['endpoint'],
        programHash: '',
        state: 'ended',
        cpuMs: 0,
        memoryBytes: 0,
        ending: former.ending ?? FORMER_LIFE,
        endedAt: former.ending === null ? now : former.endedAt,
      });
    }
  }

  // ---- moving home

  /** Nothing is being done that began in this home and would end in another. */
  get isQuiet(): boolean {
    return this.#underWay === 0 && this.#migrations.isIdle;
  }

  /** Counts what must be over before home can move. */
  async whileUnderWay<T>(work: () => T | Promise<T>): Promise<T> {
    this.#underWay++;
    try {
      return await work();
    } finally {
      this.#underWay--;
    }
  }

  /** Everything that the next home must know and that no file says. Only while quiet. */
  pack(): HomeState {
    const { ipc, vfs } = this.#o;
    return {
      version: 1,
      table: this.table.snapshot(),
      vfs: vfs.handover(),
      migrations: this.#migrations.pack(),
      starts: [...this.#started],
      guestMigrations: this.#guestMigrations,
      places: [...this.table.alive()].map(({ endpoint, index }) => [
        endpoint,
        index,
        ipc.epochOf(endpoint) ?? 1,
      ]),
    };
  }

  /** Another container is home: who waits here is told so by `moved`, and asks there. */
  leave(moved: DrvsError): void {
    this.#migrations.close();
    this.#leaving.abort(moved);
  }

  /** @returns the processes that should be on the node and are not among those that it counts. */
  async missingOn(index: number): Promise<ProcessEntry[]> {
    const { systask } = this.#o.nodes.at(index);
    const before = this.table.aliveOn(index).filter(({ state }) => state === 'alive');
    const { processes } = await systask('systask.counters', {}, { timeoutMs: COUNTERS_TIMEOUT_MS });
    const present = new Set(processes.map(({ endpoint }) => endpoint));
    return before.filter(
      ({ endpoint, state, index: now }) => state === 'alive' && now === index && !present.has(endpoint),
    );
  }

  /** Of one whose end was never told. */
  endMissing(entry: ProcessEntry): void {
    if (entry.ending === null) this.#end(entry, MISSING);
  }

  // ---- starting

  start(params: StartProcess): Promise<{ pid: number; node: string }> {
    const { requestKey } = params;
    if (requestKey === undefined) return this.#start(params);
    let started = this.#starts.get(requestKey);
    if (started === undefined) {
      started = this.#start(params);
      this.#starts.set(requestKey, started);
      started.then(
        (answer) => this.#started.set(requestKey, answer),
        () => this.#starts.delete(requestKey),
      );
      for (const oldest of this.#starts.keys()) {
        if (this.#starts.size <= REQUEST_KEYS_MOST) break;
        this.#starts.delete(oldest);
        this.#started.delete(oldest);
      }
    }
    return started;
  }

  async #start(params: StartProcess): Promise<{ pid: number; node: string }> {
    if (this.#isStopping) throw new DrvsError('StateConflict', 'the DRVM is stopping; no program is started');
    const { nodes, programs, vfs, tty, journal, ipc } = this.#o;
    const chosen = params.node === null ? null : nodes.named(params.node);
    const args = [params.name ?? params.program, ...params.args];
    const env = Object.entries(params.env).map(([key, value]) => `${key}=${value}`);
    checkArguments(args, env);
    const program = vfs.readWhole(params.program, PROGRAM_BYTES_MOST);
    const programHash = programs.hashOf(program);
    const instrumented = await programs.instrumented(programHash, program);
    const seen = await this.#look(chosen, params.avoid);
    // From the choice to the row without a pause: starts at the same time see each other's.
    const index = this.#place(seen, instrumented, params.program);
    const node = nodes.at(index);
    const command = args.join(' ');
    const entry = this.table.add({ ppid: 0, command, programHash, startedAt: Date.now(), index });
    if (entry === null) {
      throw new DrvsError(
        'InsufficientResources',
        `the DRVM has ${PROCESSES_MOST} processes, as many as there can be`,
      );
    }
    const { pid, endpoint } = entry;
    try {
      tty.open(pid);
      vfs.attach(endpoint, { stdinPath: params.stdinPath, directories: params.directories, ttyId: pid });
      journal.started(entry, this.table.firstGeneration);
      ipc.setLocation(endpoint, index, 1);
      const identity = { endpoint, pid, args, env, programHash };
      let { started } = await node.systask('systask.start', identity);
      if (!started) {
        await this.#provide(node, programHash, instrumented);
        ({ started } = await node.systask('systask.start', identity));
      }
      if (!started)
        throw new DrvsError('Internal', `node ${node.name} lost the program of process ${pid} at once`);
    } catch (error) {
      vfs.detach(endpoint);
      tty.remove(pid);
      ipc.forgetLocation(endpoint);
      if (entry.ending === null) {
        journal.ended(pid, NEVER_STARTED, Date.now());
        this.table.remove(entry);
      }
      // The node may have got it all the same, only its answer was lost.
      void node.systask('systask.signal', { endpoint, signal: SIGKILL, reason: null }).catch(() => undefined);
      throw DrvsError.from(error);
    }
    if (entry.ending === null && entry.state === 'starting') entry.state = 'alive';
    this.#say('process.started', pid, index, `${command} started on ${node.name}`);
    return { pid, node: node.name };
  }

  /** Sends the program to a node that may not have it. */
  async #provide(node: DrvmNode, hash: string, instrumented: Uint8Array | null): Promise<void> {
    if ((await node.systask('systask.hasProgram', { hash })).has) return;
    const body = instrumented ?? (await this.#o.programs.instrumented(hash, null));
    await node.systask('systask.program', { hash }, { body, timeoutMs: PROGRAM_TIMEOUT_MS });
  }

  /** The nodes that come into question, with their counters. */
  async #look(
    chosen: DrvmNode | null,
    avoid: readonly string[],
  ): Promise<{ node: DrvmNode; counters: NodeCounters }[]> {
    const open = this.#o.nodes.up().filter(({ name }) => !avoid.includes(name));
    if (chosen === null && open.length === 0) {
      throw new DrvsError(
        'StateConflict',
        `no node of the DRVM takes programs: ${avoid.join(', ')} take nothing new`,
        {
          hint: 'Restore a node (`drvs node restore NODE`), then start the program again.',
        },
      );
    }
    const wanted = chosen === null ? open : [chosen];
    const seen = await Promise.all(
      wanted.map(async (node) => {
        try {
          return {
            node,
            counters: await node.systask('systask.counters', {}, { timeoutMs: COUNTERS_TIMEOUT_MS }),
          };
        } catch (error) {
          if (chosen !== null) throw error;
          return null;
        }
      }),
    );
    return seen.filter((answer) => answer !== null);
  }

  #place(
    seen: readonly { node: DrvmNode; counters: NodeCounters }[],
    instrumented: Uint8Array,
    what: string,
  ): number {
    const bytes = readMeta(instrumented).memory.initialPages * PAGE_BYTES;
    const candidates = seen.map(({ node, counters }): PlacementCandidate => {
      const states = new Map(counters.processes.map(({ endpoint, state }) => [endpoint, state]));
      const load = this.table
        .aliveOn(node.index)
        .filter(({ endpoint }) => (states.get(endpoint) ?? 'running') === 'running').length;
      return { index: node.index, name: node.name, load, ...counters };
    });
    return placeProcess(candidates, bytes, what);
  }

  // ---- looking

  async list(): Promise<ProcessRow[]> {
    const states = new Map<number, Counters>();
    const indexes = new Set([...this.table.alive()].map(({ index }) => index));
    await Promise.all(
      [...indexes].map(async (index) => {
        if (!this.#o.nodes.isUp(index)) return;
        try {
          const { systask } = this.#o.nodes.at(index);
          const { processes } = await systask('systask.counters', {}, { timeoutMs: COUNTERS_TIMEOUT_MS });
          for (const counters of processes) states.set(counters.endpoint, counters);
        } catch {
          // Busy or just lost: its processes are shown as they were seen last.
        }
      }),
    );
    return [...this.table.alive()].map((entry) => {
      const seen = states.get(entry.endpoint);
      if (seen) {
        entry.cpuMs = seen.cpuMs;
        entry.memoryBytes = seen.memoryBytes;
      }
      const state = entry.state === 'alive' ? (seen?.state ?? 'running') : entry.state;
      return {
        pid: entry.pid,
        ppid: entry.ppid,
        node: this.#o.nodes.nameOf(entry.index),
        state: state === 'ended' ? 'zombie' : state,
        cpuMs: Math.round(entry.cpuMs),
        memoryBytes: entry.memoryBytes,
        command: entry.command,
        endpoint: entry.endpoint,
        startedAt: new Date(entry.startedAt).toISOString(),
        exitCode: null,
        signal: null,
      };
    });
  }

  async wait(pid: number, signal: AbortSignal): Promise<ExitStatus> {
    const entry = this.#known(pid);
    if (entry.ending === null) {
      await new Promise<void>((resolve) => {
        const stop = this.#onEnd(entry, resolve);
        const giveUp = () => {
          stop();
          resolve();
        };
        for (const given of [signal, this.#leaving.signal])
          given.addEventListener('abort', giveUp, { once: true });
      });
      signal.throwIfAborted();
      this.#leaving.signal.throwIfAborted();
    }
    return { ...entry.ending! };
  }

  /**
   * The output kept from `offset` on, in chunks; with `follow` until the process has ended and all is sent. The
   * caller's window paces the reading, so a slow reader costs no memory here.
   */
  async output(
    { pid, offset, follow }: { pid: number; offset: number; follow: boolean },
    context: RpcContext,
  ): Promise<{ nextOffset: number; lost: number; exit: ExitStatus | null }> {
    const entry = this.#known(pid);
    const { tty } = this.#o;
    let next = offset;
    let lost = 0;
    let wake: () => void = () => {};
    const onAbort = () => wake();
    context.signal.addEventListener('abort', onAbort);
    this.#leaving.signal.addEventListener('abort', onAbort);
    const stopListening = tty.onOutput((writer) => {
      if (writer === pid) wake();
    });
    const stopWaiting = this.#onEnd(entry, onAbort);
    try {
      for (;;) {
        this.#leaving.signal.throwIfAborted();
        // Asked before reading: what an ended process has written is there before its end is known.
        const hasEnded = entry.ending !== null;
        const fresh = new Promise<void>((resolve) => {
          wake = resolve;
        });
        const chunks = tty.read(pid, next, OUTPUT_CHUNK_BYTES);
        for (const { stream, offset: at, bytes } of chunks) {
          if (at > next) lost += at - next;
          next = at + bytes.length;
          await context.chunk({ stream, offset: at }, bytes);
        }
        if (chunks.length > 0) continue;
        if (!follow || hasEnded)
          return { nextOffset: next, lost, exit: entry.ending ? { ...entry.ending } : null };
        context.signal.throwIfAborted();
        await fresh;
        context.signal.throwIfAborted();
      }
    } finally {
      stopListening();
      stopWaiting();
      context.signal.removeEventListener('abort', onAbort);
      this.#leaving.signal.removeEventListener('abort', onAbort);
    }
  }

  /** Calls `listener` when the process ends. @returns what takes the wish back. */
  #onEnd(entry: ProcessEntry, listener: () => void): () => void {
    const waiters = this.#endWaiters.get(entry.pid) ?? new Set();
    if (entry.ending === null) this.#endWaiters.set(entry.pid, waiters.add(listener));
    return () => {
      waiters.delete(listener);
      if (waiters.size === 0 && this.#endWaiters.get(entry.pid) === waiters)
        this.#endWaiters.delete(entry.pid);
    };
  }

  #known(pid: number): ProcessEntry {
    const entry = this.table.byPid(pid);
    if (entry === undefined) {
      throw new DrvsError('NotFound', `the DRVM has no process ${pid}`, {
        hint: '`drvs ps` lists those that run; of those that ended, the latest thousand are remembered.',
      });
    }
    return entry;
  }

  #alive(pid: number): ProcessEntry {
    const entry = this.#known(pid);
    if (entry.ending !== null) throw this.#over(entry);
    return entry;
  }

  // ---- signals

  async kill(pid: number, text: string): Promise<{ pid: number; signal: string }> {
    const signal = signalNamed(text);
    if (signal === undefined) {
      throw new DrvsError('InvalidInput', `there is no signal ${text}`, {
        field: 'signal',
        hint: 'Signals are those of Linux, for instance TERM, KILL, STOP, CONT, INT, HUP, or their numbers.',
      });
    }
    await this.#deliver(this.#alive(pid), signal.number);
    return { pid, signal: signal.name };
  }

  /** PmActions: a guest's kill. */
  signal(entry: ProcessEntry, signal: number): void {
    void this.whileUnderWay(() => this.#deliver(entry, signal)).catch(() => undefined);
  }

  async #deliver(entry: ProcessEntry, signal: number): Promise<void> {
    if (entry.state === 'migrating') {
      const held = this.#heldSignals.get(entry.pid) ?? [];
      // Each signal once: like Linux's pending set.
      if (!held.includes(signal)) held.push(signal);
      this.#heldSignals.set(entry.pid, held);
      return;
    }
    const { endpoint } = entry;
    await this.#o.nodes.at(entry.index).systask('systask.signal', { endpoint, signal, reason: null });
  }

  async #releaseSignals(entry: ProcessEntry): Promise<void> {
    const held = this.#heldSignals.get(entry.pid);
    if (held === undefined) return;
    this.#heldSignals.delete(entry.pid);
    for (const signal of held) if (entry.ending === null) await this.#deliver(entry, signal);
  }

  // ---- ends

  ended(report: EndedReport): void {
    const entry = this.table.byEndpoint(report.endpoint as ProcessEntry['endpoint']);
    if (entry === undefined || entry.pid !== report.pid) return;
    entry.cpuMs = report.cpuMs;
    this.#end(entry, report.ending);
  }

  #end(entry: ProcessEntry, ending: Ending): void {
    const { vfs, tty, journal, ipc } = this.#o;
    const now = Date.now();
    vfs.detach(entry.endpoint);
    ipc.forgetLocation(entry.endpoint);
    this.#heldSignals.delete(entry.pid);
    tty.close(entry.pid);
    for (const forgotten of this.table.end(entry, ending, now)) tty.remove(forgotten.pid);
    journal.ended(entry.pid, ending, now);
    const how = ending.signal ?? `exit code ${ending.exitCode}`;
    const text = `${entry.command} ended: ${how}${ending.reason ? `, ${ending.reason}` : ''}`;
    this.#say('process.exited', entry.pid, entry.index, text);
    const waiters = this.#endWaiters.get(entry.pid);
    this.#endWaiters.delete(entry.pid);
    if (waiters) for (const wake of waiters) wake();
  }

  /** Processes that live on the node, or are leaving it. */
  processesOn(index: number): number {
    return this.table.aliveOn(index).length;
  }

  nodeBack(index: number): void {
    this.#migrations.nodeBack(index);
  }

  /** The container is gone, or was out of reach so long that it has ended its guests itself. */
  nodeLost(index: number): void {
    this.#migrations.nodeLost(index);
    for (const entry of this.table.aliveOn(index)) {
      // One that is on its way from there may be whole at its target: its migration decides.
      if (this.#migrations.holds(entry)) continue;
      this.#end(
        entry,
        endingOfSignal(SIGKILL, `${NODE_LOST}: ${this.#o.nodes.nameOf(index)} does not answer`),
      );
    }
  }

  // ---- migration

  hasNode(index: number): boolean {
    return this.#o.nodes.has(index);
  }

  /** PmActions: a guest's own wish. */
  migrate(entry: ProcessEntry, index: number, done: (status: number) => void): void {
    const requestKey = `guest:${entry.endpoint}:${++this.#guestMigrations}`;
    // Never within the guest's own call: it must have been set aside first.
    const answered = new Promise<void>((resolve) => {
      setImmediate(() => {
        this.#move(entry, index, requestKey)
          .then(
            () => done(OK),
            (error: unknown) => done(DrvsError.from(error).code === 'MigrationUnderWay' ? EBUSY : EIO),
          )
          .finally(resolve);
      });
    });
    void this.whileUnderWay(() => answered);
  }

  async migrateTo({
    pid,
    to,
    requestKey,
  }: {
    pid: number;
    to: string;
    requestKey: string;
  }): Promise<MigrationResult> {
    return this.#move(this.#known(pid), this.#o.nodes.named(to).index, requestKey);
  }

  async #move(entry: ProcessEntry, to: number, requestKey: string): Promise<MigrationResult> {
    if (entry.state === 'starting')
      throw new DrvsError('StateConflict', `process ${entry.pid} is only just starting`);
    const earlier = this.#migrations.resultOf(requestKey);
    if (earlier !== undefined) return earlier;
    if (entry.ending !== null) throw this.#over(entry);
    try {
      return await this.#migrations.move(entry, to, requestKey);
    } catch (error) {
      // Lost with its node: the migration's own error says so. Otherwise it came to its end before it could be frozen.
      const ending = this.#endingOf(entry);
      if (ending === null || ending.reason?.startsWith(NODE_LOST)) throw error;
      throw this.#over(entry);
    }
  }

  /** As it is now: it may have ended during an await. */
  #endingOf(entry: ProcessEntry): Ending | null {
    return entry.ending;
  }

  #over({ pid, ending }: ProcessEntry): DrvsError {
    return new DrvsError('NotFound', `process ${pid} has ended already (exit code ${ending?.exitCode})`);
  }

  #migrated(entry: ProcessEntry, outcome: MigrationOutcome): void {
    if (outcome.kind === 'moved') {
      const { from, to, pauseMs, bytes } = outcome.result;
      const text = `moved from ${from} to ${to}: ${bytes} bytes, ${pauseMs.toFixed(1)} ms pause`;
      this.#say('process.migrated', entry.pid, entry.index, text);
    } else {
      this.#say('process.migration-failed', entry.pid, entry.index, outcome.reason);
      if (outcome.kind === 'lost')
        this.#end(entry, endingOfSignal(SIGKILL, `${NODE_LOST}: ${outcome.reason}`));
    }
    void this.#releaseSignals(entry).catch(() => undefined);
  }

  // ---- stopping

  /** SIGTERM to all, and after `graceMs` SIGKILL to those who still live. */
  async stopAll(graceMs: number): Promise<void> {
    this.#isStopping = true;
    const deadline = performance.now() + graceMs;
    for (const signal of [SIGTERM, SIGKILL]) {
      await Promise.allSettled([...this.table.alive()].map((entry) => this.#deliver(entry, signal)));
      const until = signal === SIGTERM ? deadline : performance.now() + COUNTERS_TIMEOUT_MS;
      while (this.table.live > 0 && performance.now() < until) {
        await new Promise((resolve) => setTimeout(resolve, STOP_POLL_MS));
      }
    }
    for (const entry of [...this.table.alive()])
      this.#end(entry, endingOfSignal(SIGKILL, 'the DRVM was stopped'));
    this.#migrations.close();
  }

  #say(kind: ContainerEvent['kind'], pid: number, index: number, text: string): void {
    const { drvmId, nodes, emit } = this.#o;
    emit({ kind, drvmId, pid, node: nodes.nameOf(index), text, at: new Date().toISOString() });
  }
}

/** What no file of the DRVM says, as it goes from one home to the next. */
export const HomeState = z.object({
  version: z.literal(1),
  table: TableSnapshot,
  vfs: VfsHandover,
  migrations: MigrationsState,
  starts: z.array(z.tuple([z.string(), z.object({ pid: z.int(), node: z.string() })])),
  guestMigrations: z.int(),
  /** Endpoint, container, epoch of every process that lives. */
  places: z.array(z.tuple([z.int(), z.int(), z.int()])),
});
export type HomeState = z.infer<typeof HomeState>;

const NODE_LOST = 'node lost';
const MISSING = endingOfSignal(
  SIGKILL,
  'node lost: it ended while the home of the DRVM moved, and how was not told',
);
const NEVER_STARTED = endingOfSignal(SIGKILL, 'it could not be started');
const FORMER_LIFE = endingOfSignal(SIGKILL, 'the DRVM’s home container was restarted');

function checkArguments(args: readonly string[], env: readonly string[]): void {
  let bytes = 0;
  for (const text of [...args, ...env]) {
    if (text.includes('\0'))
      throw new DrvsError('InvalidInput', 'an argument or variable contains a NUL byte');
    bytes += Buffer.byteLength(text) + 1;
  }
  if (bytes > ARGUMENTS_BYTES_MOST) {
    throw new DrvsError(
      'InvalidInput',
      `arguments and environment have ${bytes} bytes; ${ARGUMENTS_BYTES_MOST} are possible`,
    );
  }
}
