import {
  EFAULT,
  EINVAL,
  type Endpoint,
  GRANT_READ,
  GRANT_WRITE,
  MESSAGE_BYTES,
  OK,
  PM,
  SUSPENDED,
} from '@drvs/drvmm-core';
import { PM_GETPID, PM_KILL, PM_MIGRATE } from '../pm-calls.js';
import type { GuestProcess } from './process.js';
import type { SystemCalls } from './processor.js';

/** What a guest may know of the DRVM's nodes. */
export interface NodeView {
  /** This container's. */
  readonly index: number;
  readonly name: string;
  readonly count: number;
}

const encoder = new TextEncoder();

const inMemory = (process: GuestProcess, pointer: number, length: number): boolean =>
  pointer + length <= process.bytes().length;

/** The message at `pointer` becomes the process's own. @returns false when it is not within the memory. */
function takeMessage(process: GuestProcess, pointer: number): boolean {
  if (!inMemory(process, pointer, MESSAGE_BYTES)) return false;
  process.message.bytes.set(process.bytes().subarray(pointer, pointer + MESSAGE_BYTES));
  return true;
}

const giveMessage = (process: GuestProcess, pointer: number) =>
  process.bytes().set(process.message.bytes, pointer);

/** Asks PM and gives its reply's type. Words 2 and 3 are `a` and `b`. */
function askPm(process: GuestProcess, call: number, a: number, b: number): number {
  if (process.step === 0) {
    process.message.clear();
    process.message.type = call;
    process.message.words[2] = a;
    process.message.words[3] = b;
    process.step = 1;
    if (process.sendrec(PM) === SUSPENDED) return SUSPENDED;
  }
  return process.outcome < 0 ? process.outcome : process.message.type;
}

/**
 * The `dvos` import module: what WASI lacks. Results are 0 or more, or a negative status of `ipc/errors`.
 * The names and their parameters are in `loader/imports.ts`.
 */
export function dvosCalls(node: NodeView): SystemCalls {
  const calls: Record<string, (process: GuestProcess, ...args: number[]) => number> = {
    getpid: (process) => process.pid,
    endpoint: (process) => process.endpoint,
    node_index: () => node.index,
    node_count: () => node.count,

    node_name(process, pointer, length) {
      const name = encoder.encode(node.name);
      const at = pointer >>> 0;
      const room = Math.min(name.length, length >>> 0);
      if (!inMemory(process, at, room)) return EFAULT;
      process.bytes().set(name.subarray(0, room), at);
      return name.length;
    },

    getppid(process) {
      const status = askPm(process, PM_GETPID, 0, 0);
      return status < 0 ? status : process.message.words[2]!;
    },

    kill: (process, pid, signal) => askPm(process, PM_KILL, pid, signal),
    migrate: (process, index) => askPm(process, PM_MIGRATE, 0, index),

    yield(process) {
      if (process.step !== 0) return OK;
      process.step = 1;
      return process.yield();
    },

    send(process, to, pointer) {
      if (process.step === 0) {
        if (!takeMessage(process, pointer >>> 0)) return EFAULT;
        process.step = 1;
        const { ipc } = process.host;
        if (process.settle(ipc.send(process.endpoint, to as Endpoint, process.message)) === SUSPENDED)
          return SUSPENDED;
      }
      return process.outcome;
    },

    receive(process, source, pointer) {
      if (process.step === 0) {
        if (!inMemory(process, pointer >>> 0, MESSAGE_BYTES)) return EFAULT;
        process.step = 1;
        const { ipc } = process.host;
        const status = ipc.receive(process.endpoint, source as Endpoint, process.message);
        if (process.settle(status) === SUSPENDED) return SUSPENDED;
      }
      if (process.outcome === OK) giveMessage(process, pointer >>> 0);
      return process.outcome;
    },

    sendrec(process, to, pointer) {
      if (process.step === 0) {
        if (!takeMessage(process, pointer >>> 0)) return EFAULT;
        process.step = 1;
        if (process.sendrec(to as Endpoint) === SUSPENDED) return SUSPENDED;
      }
      if (process.outcome === OK) giveMessage(process, pointer >>> 0);
      return process.outcome;
    },

    notify: (process, to) => process.host.ipc.notify(process.endpoint, to as Endpoint),

    grant(process, to, pointer, length, access) {
      const at = pointer >>> 0;
      const size = length >>> 0;
      if (!inMemory(process, at, size)) return EFAULT;
      if (access === 0 || (access & ~(GRANT_READ | GRANT_WRITE)) !== 0) return EINVAL;
      const memory = process.grantMemory(process.endpoint, at, size);
      return process.host.ipc.grantDirect(process.endpoint, to as Endpoint, memory, access);
    },

    revoke: (process, id) => process.host.ipc.revoke(process.endpoint, id),

    safecopyfrom(process, granter, id, offset, pointer, length) {
      const at = pointer >>> 0;
      const size = length >>> 0;
      if (process.step === 0) {
        if (!inMemory(process, at, size)) return EFAULT;
        process.step = 1;
        // Into bytes of its own: the process's memory may be elsewhere when the answer comes.
        const copy = new Uint8Array(size);
        const status = process.host.ipc.safecopyFrom(
          process.endpoint,
          granter as Endpoint,
          id,
          offset >>> 0,
          copy,
          (ended) => process.onComplete(process.endpoint, ended, process.message, copy),
        );
        if (process.settle(status) === SUSPENDED) return SUSPENDED;
        process.reply = copy;
      }
      if (process.outcome === OK) process.bytes().set(process.replyData(), at);
      return process.outcome;
    },

    safecopyto(process, granter, id, offset, pointer, length) {
      const at = pointer >>> 0;
      const size = length >>> 0;
      if (process.step === 0) {
        if (!inMemory(process, at, size)) return EFAULT;
        process.step = 1;
        const status = process.host.ipc.safecopyTo(
          process.endpoint,
          granter as Endpoint,
          id,
          offset >>> 0,
          process.bytes().slice(at, at + size),
          (ended) => process.onComplete(process.endpoint, ended, process.message, NO_BYTES),
        );
        if (process.settle(status) === SUSPENDED) return SUSPENDED;
      }
      return process.outcome;
    },
  };
  return calls as unknown as SystemCalls;
}

const NO_BYTES = new Uint8Array(0);
