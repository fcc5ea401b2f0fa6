import { type Endpoint, Message, OK, SUSPENDED } from '@drvs/drvmm-core';
import type { Caller, SystemCall } from '../../kernel/caller.js';
import type { Server, ServerPort } from '../../servers/server.js';

/** The servers of a system without a kernel between them and their guests, for tests and benchmarks. */
export class DirectSystem {
  readonly #servers = new Map<Endpoint, Server>();
  #reply: Message | null = null;
  #replyData: Uint8Array | undefined;
  nowMs = 1_700_000_000_000;

  readonly port: ServerPort = {
    reply: (_to, message, data) => {
      this.#reply!.copyFrom(message);
      this.#replyData = data;
    },
    notify: () => {},
    post: () => {},
    putBack: () => {},
    now: () => this.nowMs,
  };

  add(server: Server): void {
    this.#servers.set(server.endpoint, server);
  }

  /** The reply is in `message`. @returns the bytes that rode with it. */
  ask(from: Endpoint, to: Endpoint, message: Message, data: Uint8Array): Uint8Array | undefined {
    message.words[0] = from;
    this.#reply = message;
    this.#replyData = undefined;
    this.#servers.get(to)!.onMessage(message, data);
    return this.#replyData;
  }
}

const NO_BYTES = new Uint8Array(0);

export interface DirectGuestOptions {
  endpoint: number;
  args?: readonly string[];
  env?: readonly string[];
  memoryBytes?: number;
  /**
   * Every request suspends the system call, and its memory is at another place when it is entered again, as after a
   * migration: what a call wrongly keeps shows.
   */
  suspends?: boolean;
}

/** A guest that is only memory: tests call its system calls themselves. */
export class DirectGuest implements Caller {
  readonly endpoint: Endpoint;
  readonly pid = 42;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly message = new Message();
  readonly scratch = new Float64Array(4);
  step = 0;
  outcome = OK;
  exitCode: number | null = null;
  raised: number[] = [];
  /** Times that a system call was suspended. */
  suspensions = 0;
  clockMs = 0;
  readonly #system: DirectSystem;
  readonly #suspends: boolean;
  readonly #calls: Readonly<Record<string, SystemCall>>;
  #memory: Uint8Array;
  #view: DataView;
  #replyData: Uint8Array = NO_BYTES;
  #resume: (() => void) | null = null;

  constructor(
    system: DirectSystem,
    calls: Readonly<Record<string, SystemCall>>,
    options: DirectGuestOptions,
  ) {
    this.#system = system;
    this.#calls = calls;
    this.endpoint = options.endpoint as Endpoint;
    this.args = options.args ?? [];
    this.env = options.env ?? [];
    this.#suspends = options.suspends ?? false;
    this.#memory = new Uint8Array(options.memoryBytes ?? 4 * 65_536);
    this.#view = new DataView(this.#memory.buffer);
  }

  /** One system call from beginning to end. @returns its errno. */
  call(name: string, ...args: (number | bigint)[]): number {
    const call = this.#calls[name] as (caller: Caller, ...rest: (number | bigint)[]) => number;
    let result = call(this, ...args);
    while (result === SUSPENDED) {
      if (this.exitCode !== null) return SUSPENDED;
      this.suspensions++;
      this.#resume?.();
      this.#resume = null;
      this.#move();
      result = call(this, ...args);
    }
    // As the kernel does it, which clears `scratch` only behind a call that has set `step`.
    if (this.step !== 0) this.scratch.fill(0);
    this.step = 0;
    if (this.scratch.some((value) => value !== 0)) {
      throw new Error(`${name} left [${this.scratch}] in scratch for the next call`);
    }
    return result;
  }

  bytes(): Uint8Array {
    return this.#memory;
  }

  view(): DataView {
    return this.#view;
  }

  replyData(): Uint8Array {
    return this.#replyData;
  }

  sendrec(to: Endpoint, data: Uint8Array = NO_BYTES): number {
    if (!this.#suspends) {
      this.#replyData = this.#system.ask(this.endpoint, to, this.message, data) ?? NO_BYTES;
      this.outcome = OK;
      return OK;
    }
    const request = new Message();
    request.copyFrom(this.message);
    const riding = data.slice();
    this.#resume = () => {
      this.#replyData = (this.#system.ask(this.endpoint, to, request, riding) ?? NO_BYTES).slice();
      this.message.copyFrom(request);
      this.outcome = OK;
    };
    return SUSPENDED;
  }

  sleepUntil(monotonicMs: number): number {
    this.#resume = () => {
      this.clockMs = Math.max(this.clockMs, monotonicMs);
      this.outcome = OK;
    };
    return SUSPENDED;
  }

  monotonicMs(): number {
    return this.clockMs;
  }

  realtimeMs(): number {
    return this.#system.nowMs + this.clockMs;
  }

  cpuMs(): number {
    return this.clockMs / 2;
  }

  yield(): number {
    return SUSPENDED;
  }

  exit(code: number): number {
    this.exitCode = code;
    return SUSPENDED;
  }

  raise(signal: number): number {
    this.raised.push(signal);
    return OK;
  }

  #move(): void {
    const old = this.#memory;
    this.#memory = old.slice();
    this.#view = new DataView(this.#memory.buffer);
    old.fill(0xee);
  }
}
