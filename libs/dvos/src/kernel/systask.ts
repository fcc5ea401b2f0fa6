import { crc32 } from 'node:zlib';
import { DrvsError, type RpcPeer } from '@drvs/contracts';
import type { Endpoint } from '@drvs/drvmm-core';
import { z } from 'zod';
import { type Ending, EndingShape } from './ending.js';
import type { Kernel, ProcessOutline } from './kernel.js';
import { PAGE_BYTES } from './process.js';

/**
 * The system task of a container: what PM at home has its kernel do, and how kernels hand processes to each other.
 *
 *     home ──start, signal, counters, depart, rollback, departed, activate, callOff──▶ any container
 *     source ──expect, part…, record, part…, install──▶ target  (straight, while home waits for `depart`)
 *     any container ──ended──▶ home                      (again and again until home has it)
 *
 * The calls go over the control lane of the transport. Each may be made twice without harm: endpoints are never used
 * again, so what a call says of one can be checked.
 */

const Hash = z.string().regex(/^[0-9a-f]{64}$/);
const EndpointNumber = z.int();

const Identity = z.object({
  endpoint: EndpointNumber,
  pid: z.int(),
  args: z.array(z.string()),
  env: z.array(z.string()),
  programHash: Hash,
});

const Counters = z.object({
  endpoint: EndpointNumber,
  pid: z.int(),
  state: z.enum(['running', 'waiting', 'stopped', 'migrating']),
  cpuMs: z.number(),
  memoryBytes: z.number(),
});
export type Counters = z.infer<typeof Counters>;

const NodeCounters = z.object({
  processes: z.array(Counters),
  memoryBytes: z.number(),
  memoryLimitBytes: z.number(),
  cpuMilli: z.int(),
  /** Processes that wait for a turn. */
  runnable: z.int(),
});
export type NodeCounters = z.infer<typeof NodeCounters>;

export const EndedReport = z.object({
  endpoint: EndpointNumber,
  pid: z.int(),
  ending: EndingShape,
  cpuMs: z.number(),
});
export type EndedReport = z.infer<typeof EndedReport>;

const Departed = z.object({
  bytes: z.number(),
  /** Milliseconds from the freeze to the target's word that all is there. */
  frozenMs: z.number(),
  /** 1: all was sent while it stood still; more: copies of what had changed meanwhile were sent before. */
  rounds: z.int(),
});
export type Departed = z.infer<typeof Departed>;

export const SystaskMethods = {
  /** Body: the instrumented module. Answers when it is compiled. */
  'systask.program': { params: z.object({ hash: Hash }), result: z.object({}) },
  'systask.hasProgram': { params: z.object({ hash: Hash }), result: z.object({ has: z.boolean() }) },
  /** `started` false: the program is not here (any more); send it and ask again. */
  'systask.start': { params: Identity, result: z.object({ started: z.boolean() }) },
  /** `found` false: it has ended already; the report is on its way. */
  'systask.signal': {
    params: z.object({ endpoint: EndpointNumber, signal: z.int(), reason: z.string().nullable() }),
    result: z.object({ found: z.boolean() }),
  },
  'systask.counters': { params: z.object({}), result: NodeCounters },
  /** Freezes and sends the image to container `to`; frozen it stays until `rollback` or `departed`. */
  'systask.depart': {
    params: z.object({ id: z.int(), endpoint: EndpointNumber, to: z.int() }),
    result: Departed,
  },
  /** Stops the sending and lets the process go on. */
  'systask.rollback': { params: z.object({ id: z.int(), endpoint: EndpointNumber }), result: z.object({}) },
  'systask.departed': {
    params: z.object({ endpoint: EndpointNumber, to: z.int(), epoch: z.int() }),
    result: z.object({}),
  },
  'systask.activate': {
    params: z.object({ id: z.int(), endpoint: EndpointNumber, epoch: z.int() }),
    result: z.object({}),
  },
  'systask.callOff': { params: z.object({ id: z.int() }), result: z.object({}) },
  /** Whether the image is all there: what home asks when the source was lost before it could say so. */
  'systask.arrived': {
    params: z.object({ id: z.int() }),
    result: z.object({ isInstalled: z.boolean() }),
  },
  /** From the source: this process will come, and its memory before its record. */
  'systask.expect': { params: Identity.extend({ id: z.int(), memoryPages: z.int() }), result: z.object({}) },
  /** From the source. Body: the record. */
  'systask.record': { params: z.object({ id: z.int() }), result: z.object({}) },
  /** From the source. Body: a part of the memory. */
  'systask.part': { params: z.object({ id: z.int() }), result: z.object({}) },
  'systask.install': { params: z.object({ id: z.int(), checksum: z.int() }), result: z.object({}) },
} as const;
type Method = keyof typeof SystaskMethods;
type Params<M extends Method> = z.infer<(typeof SystaskMethods)[M]['params']>;
type Result<M extends Method> = z.infer<(typeof SystaskMethods)[M]['result']>;

/** Home's hand on a container's system task, its own or a far one. */
export type SystaskPort = <M extends Method>(
  method: M,
  params: Params<M>,
  options?: { body?: Uint8Array; timeoutMs?: number },
) => Promise<Result<M>>;

/** Parts under way at most: 8 MiB fill any pipe and bound what lies around. */
const PARTS_UNDER_WAY = 32;
/** All that are under way, over a link that is held to 1 Mbit/s. That the other node is gone its link says sooner. */
const PART_TIMEOUT_MS = 100_000;
/** The guests of a node let a small image pass before them; a large one shares the thread with them. */
const HOLD_MS = 20;
/** A copy of so much memory fits beside the DVOS in its part of the node's memory. */
const SHADOW_BYTES_FREE = 32 * 1024 * 1024;
/** A larger one takes the place of guests, where there is some. Larger images yet are sent at a standstill. */
const SHADOW_BYTES_MOST = 512 * 1024 * 1024;
/** So much is sent in a few milliseconds: no further round before the process stops. */
const REST_BYTES = 1024 * 1024;
/** Rounds of copying while it goes on; each must be at most half of the one before, or it never comes to an end. */
const ROUNDS_MOST = 8;
/** A frozen process may have to end a copy first; looked at so often, so far apart. */
const FREEZE_TRIES = 100;
const FREEZE_RETRY_MS = 2;

export interface SystaskOptions {
  readonly index: number;
  readonly kernel: Kernel;
  /** The container's share of CPU now. */
  cpuMilli(): number;
  /** The control lane to a peer, while there is one. */
  control(peer: number): RpcPeer | undefined;
}

export class Systask {
  readonly #kernel: Kernel;
  readonly #options: SystaskOptions;
  /** Departures under way, so that a rollback meanwhile stops the sending. */
  readonly #departures = new Map<number, { readonly id: number; readonly abort: AbortController }>();

  constructor(options: SystaskOptions) {
    this.#options = options;
    this.#kernel = options.kernel;
  }

  /** The port for home itself, whose system task is in the same process. */
  readonly local: SystaskPort = async (method, params, options = {}) =>
    (await this.#perform(method, params, options.body ?? NO_BYTES)) as never;

  /** Answers the peer at the other end of a control lane. */
  serve(rpc: RpcPeer): void {
    for (const method of Object.keys(SystaskMethods) as Method[]) {
      rpc.handle(method, (params, { body }) =>
        this.#perform(method, SystaskMethods[method].params.parse(params) as never, body),
      );
    }
  }

  /** Not async: what needs no waiting is done before this returns, so that pipelined calls keep their order. */
  #perform<M extends Method>(method: M, params: Params<M>, body: Uint8Array): unknown {
    const kernel = this.#kernel;
    const p = params as Params<Method> & Record<string, never>;
    const endpoint = p.endpoint as unknown as Endpoint;
    switch (method as Method) {
      case 'systask.program':
        return kernel.modules.add(p.hash, body.slice()).then(() => ({}));
      case 'systask.hasProgram':
        return { has: kernel.modules.get(p.hash) !== undefined };
      case 'systask.start': {
        const identity = params as Params<'systask.start'>;
        const module = kernel.modules.get(identity.programHash);
        if (module === undefined) return { started: false };
        kernel.start({ ...identity, endpoint }, module);
        return { started: true };
      }
      case 'systask.signal':
        return { found: kernel.signal(endpoint, p.signal, p.reason) };
      case 'systask.counters':
        return {
          processes: kernel.counters(),
          memoryBytes: kernel.memoryBytes,
          memoryLimitBytes: kernel.memoryLimitBytes,
          cpuMilli: this.#options.cpuMilli(),
          runnable: kernel.scheduler.runnable,
        };
      case 'systask.depart':
        return this.#depart(p.id, endpoint, p.to);
      case 'systask.rollback':
        this.#rollBack(p.id, endpoint);
        return {};
      case 'systask.departed':
        kernel.departed(endpoint, p.to, p.epoch);
        return {};
      case 'systask.activate':
        kernel.activate(p.id, endpoint, p.epoch);
        kernel.scheduler.resume();
        return {};
      case 'systask.callOff':
        kernel.callOff(p.id);
        kernel.scheduler.resume();
        return {};
      case 'systask.arrived':
        return { isInstalled: kernel.isInstalled(p.id) };
      case 'systask.expect':
        kernel.expect(p.id, { ...(params as Params<'systask.expect'>), endpoint });
        return {};
      case 'systask.record':
        kernel.scheduler.hold(HOLD_MS);
        kernel.arrive(p.id, body);
        return {};
      case 'systask.part':
        kernel.addPart(p.id, body);
        return {};
      case 'systask.install':
        kernel.install(p.id, p.checksum);
        return {};
      default:
        throw new DrvsError('NotFound', `the system task has no call ${method}`);
    }
  }

  async #depart(id: number, endpoint: Endpoint, to: number): Promise<Departed> {
    if (this.#departures.has(endpoint))
      throw new DrvsError('MigrationUnderWay', 'the process is leaving already');
    const target = this.#options.control(to);
    if (target === undefined) {
      throw new DrvsError(
        'MigrationFailed',
        `the nodes have no link to each other (container ${to} is not heard)`,
        {
          hint: 'The process stays where it was. Look at `drvs node list`.',
        },
      );
    }
    const departure = { id, abort: new AbortController(), reservedBytes: 0 };
    this.#departures.set(endpoint, departure);
    try {
      const { signal } = departure.abort;
      const sending = new Sending(target, id, signal);
      const { shadow, rounds } = await this.#preCopy(endpoint, sending, departure);
      await this.#freeze(endpoint, signal);
      const began = performance.now();
      this.#kernel.scheduler.hold(HOLD_MS);
      const { record, parts } = this.#kernel.depart(endpoint, shadow);
      sending.record(record);
      for (const part of parts) await sending.part(part);
      await sending.end();
      const frozenMs = performance.now() - began;
      return { bytes: sending.bytes, frozenMs, rounds: rounds + 1 };
    } finally {
      this.#kernel.release(departure.reservedBytes);
      this.#kernel.scheduler.resume();
      if (this.#departures.get(endpoint) === departure) this.#departures.delete(endpoint);
    }
  }

  #rollBack(id: number, endpoint: Endpoint): void {
    const departure = this.#departures.get(endpoint);
    // A later migration of it is under way: this is the echo of an earlier one.
    if (departure !== undefined && departure.id !== id) return;
    departure?.abort.abort(new DrvsError('Cancelled', 'the migration was called off'));
    this.#departures.delete(endpoint);
    this.#kernel.thaw(endpoint);
  }

  async #freeze(endpoint: Endpoint, signal: AbortSignal): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        this.#kernel.freeze(endpoint);
        return;
      } catch (error) {
        if (!(error instanceof DrvsError) || error.code !== 'StateConflict' || attempt === FREEZE_TRIES)
          throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, FREEZE_RETRY_MS));
      signal.throwIfAborted();
    }
  }

  /**
   * Sends the memory while the process goes on, and then what has changed since, until little is left to be sent while it
   * stands still or it gets no less. `shadow`: what the target has of it; null when it was not worth it.
   */
  async #preCopy(
    endpoint: Endpoint,
    sending: Sending,
    departure: { reservedBytes: number },
  ): Promise<{ shadow: Uint8Array | null; rounds: number }> {
    const outline = this.#kernel.outline(endpoint);
    if (outline === null) return { shadow: null, rounds: 0 };
    const bytes = outline.memoryPages * PAGE_BYTES;
    if (bytes > SHADOW_BYTES_MOST) return { shadow: null, rounds: 0 };
    if (bytes > SHADOW_BYTES_FREE) {
      if (!this.#kernel.reserve(bytes)) return { shadow: null, rounds: 0 };
      departure.reservedBytes = bytes;
    }
    sending.expect(outline);
    const shadow = new Uint8Array(bytes);
    let rounds = 0;
    for (let last = Number.POSITIVE_INFINITY; rounds < ROUNDS_MOST; ) {
      const before = sending.bytes;
      for (const part of this.#kernel.preCopy(endpoint, shadow)) await sending.part(part);
      await sending.settled();
      rounds++;
      const sent = sending.bytes - before;
      if (sent <= REST_BYTES || sent > last / 2) break;
      last = sent;
    }
    return { shadow, rounds };
  }
}

/** The calls that carry one image to its target, pipelined: what is small costs one round trip. */
class Sending {
  bytes = 0;
  #checksum = 0;
  #underWay: Promise<unknown>[] = [];

  constructor(
    private readonly target: RpcPeer,
    private readonly id: number,
    private readonly signal: AbortSignal,
  ) {}

  expect(outline: ProcessOutline): void {
    this.#call('systask.expect', { id: this.id, ...outline });
  }

  record(record: Uint8Array): void {
    this.#count(record);
    this.#call('systask.record', { id: this.id }, record);
  }

  /** The part's buffer may be used again when this returns. */
  async part(part: Uint8Array): Promise<void> {
    this.#count(part);
    this.#call('systask.part', { id: this.id }, part);
    if (this.#underWay.length > PARTS_UNDER_WAY) await this.#underWay.shift();
    // What was written leaves now, while the next part is packed.
    else await new Promise((resolve) => setImmediate(resolve));
    this.signal.throwIfAborted();
  }

  /** The target has taken all so far. */
  async settled(): Promise<void> {
    await Promise.all(this.#underWay);
    this.#underWay = [];
    this.signal.throwIfAborted();
  }

  async end(): Promise<void> {
    this.#call('systask.install', { id: this.id, checksum: this.#checksum });
    await this.settled();
  }

  #count(bytes: Uint8Array): void {
    this.bytes += bytes.length;
    this.#checksum = crc32(bytes, this.#checksum);
  }

  #call(method: string, params: object, body?: Uint8Array): void {
    const call = this.target.call(method, params, { timeoutMs: PART_TIMEOUT_MS, signal: this.signal, body });
    // Awaited in turn; one that fails before its turn must not count as a failure that nobody looks at.
    call.catch(() => undefined);
    this.#underWay.push(call);
  }
}

/** Home's port to a far system task. */
export function remoteSystask(control: () => RpcPeer | undefined, nodeName: string): SystaskPort {
  return async (method, params, options = {}) => {
    const rpc = control();
    if (rpc === undefined) {
      throw new DrvsError('ContainerUnreachable', `node ${nodeName} of the DRVM does not answer`, {
        hint: 'Look at `drvs node list`, or choose another node.',
      });
    }
    const { result } = await rpc.call(method, params, options);
    return SystaskMethods[method].result.parse(result) as never;
  };
}

/** Home's ear for ends; its params are an EndedReport. */
export const PM_ENDED = 'pm.ended';

/** A report not yet taken is offered again so often while the link is up. */
const REPORT_AGAIN_MS = 1_000;

/** Ends that home must hear of; kept until it has. */
export class EndReports {
  readonly #unreported = new Map<number, EndedReport>();
  #timer: NodeJS.Timeout | null = null;
  #isClosed = false;

  constructor(private readonly home: () => RpcPeer | undefined) {}

  add(endpoint: number, pid: number, ending: Ending, cpuMs: number): void {
    this.#unreported.set(endpoint, { endpoint, pid, ending: { ...ending }, cpuMs });
    void this.#send(endpoint);
  }

  /** Reports that home has not taken yet. */
  get size(): number {
    return this.#unreported.size;
  }

  /** This container has become home: what was to be reported is its own to note. */
  takeAll(): EndedReport[] {
    const reports = [...this.#unreported.values()];
    this.#unreported.clear();
    return reports;
  }

  /** Home is a new one, or has given this container's processes up: it wants no word of them. */
  clear(): void {
    this.#unreported.clear();
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  async #send(endpoint: number): Promise<void> {
    const report = this.#unreported.get(endpoint);
    if (report === undefined) return;
    try {
      const rpc = this.home();
      if (rpc === undefined) throw new Error('no link');
      await rpc.call(PM_ENDED, report);
      this.#unreported.delete(endpoint);
    } catch {
      // Unreachable for the moment: the report stays, and goes again.
      if (this.#timer !== null || this.#isClosed) return;
      this.#timer = setTimeout(() => {
        this.#timer = null;
        for (const waiting of this.#unreported.keys()) void this.#send(waiting);
      }, REPORT_AGAIN_MS);
      this.#timer.unref();
    }
  }
}

const NO_BYTES = new Uint8Array(0);
