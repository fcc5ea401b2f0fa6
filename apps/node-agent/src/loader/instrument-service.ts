import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { AgentServices, DrvsError, type ErrorBody, type RpcContext, withBody } from '@drvs/contracts';
import type { CgroupTree } from '../limits/cgroup-tree.js';
import type { Log } from '../log.js';
import { giveUpPrivileges, type Privileges } from '../namespaces/privileges.js';
import { joinAndBecome } from '../supervisor/launch.js';
import type { ModuleCache } from './module-cache.js';

/**
 * `loader.instrument`: makes a program ready to run, in a process of its own. The program comes from a tenant, so that
 * process has a host user without rights, a control group with memory and time limits, and one fate: its death is an
 * answer, never the agent's trouble.
 */

/** Programs larger than this are refused, as by the DVOS. The result must fit a frame of the control socket. */
const MODULE_MAX_BYTES = 32 * 1024 * 1024;
const RESULT_MAX_BYTES = 76 * 1024 * 1024;
/** A branchy program of 1.3 MB takes up to 40 s of CPU time; the largest may take longer on a busy host. */
const INSTRUMENT_TIMEOUT_MS = 240_000;
const LOADER_MEMORY_MIB = 2_048;
const LOADER_PIDS_MAX = 64;
/** Below everything else on the node: tenants' running programs come first. */
const LOADER_CPU_WEIGHT = 25;
const ERROR_MAX_BYTES = 64 * 1024;
const QUEUE_MAX = 256;
/** Programs that wait are held in the agent's memory. */
const HELD_MAX_BYTES = 256 * 1024 * 1024;

export interface InstrumentSettings {
  cache: ModuleCache;
  /** loader/main.js of the DVOS. */
  loaderMain: string;
  tree: CgroupTree;
  privileges: Privileges;
  log: Log;
  slots?: number;
}

export class InstrumentService {
  /** One run per program, however many ask for it. */
  readonly #underWay = new Map<string, Promise<Uint8Array>>();
  readonly #freeSlots: number[];
  readonly #queue: ((slot: number) => void)[] = [];
  #heldBytes = 0;

  constructor(private readonly settings: InstrumentSettings) {
    const slots = settings.slots ?? availableParallelism();
    this.#freeSlots = Array.from({ length: slots }, (_, slot) => slot);
  }

  /** The handler of AgentServices['loader.instrument']. */
  readonly handle = async (params: unknown, context: RpcContext): Promise<unknown> => {
    const { sha256 } = AgentServices['loader.instrument'].params.parse(params);
    return withBody({ sha256 }, await this.instrument(sha256, context.body));
  };

  async instrument(sha256: string, module: Uint8Array): Promise<Uint8Array> {
    if (module.length > MODULE_MAX_BYTES) {
      throw new DrvsError(
        'ProgramTooLarge',
        `the program has ${module.length} bytes, more than ${MODULE_MAX_BYTES}`,
        { hint: 'Build it without debugging information (wasm-strip, -s, -Oz).' },
      );
    }
    if (createHash('sha256').update(module).digest('hex') !== sha256) {
      throw new DrvsError('InvalidInput', `the program's SHA-256 is not ${sha256}`, { field: 'sha256' });
    }
    const cached = await this.settings.cache.get(sha256);
    if (cached) return cached;
    let run = this.#underWay.get(sha256);
    if (!run) {
      run = this.#runInSlot(sha256, module).finally(() => this.#underWay.delete(sha256));
      this.#underWay.set(sha256, run);
    }
    return run;
  }

  async #runInSlot(sha256: string, module: Uint8Array): Promise<Uint8Array> {
    if (this.#heldBytes + module.length > HELD_MAX_BYTES) throw this.#tooMany();
    this.#heldBytes += module.length;
    try {
      return await this.#runWith(await this.#slot(), sha256, module);
    } finally {
      this.#heldBytes -= module.length;
    }
  }

  async #runWith(slot: number, sha256: string, module: Uint8Array): Promise<Uint8Array> {
    try {
      const beganAt = performance.now();
      const result = await this.#run(slot, module);
      const tookMs = Math.round(performance.now() - beganAt);
      this.settings.log.info({ sha256, bytes: module.length, result: result.length, tookMs }, 'instrumented');
      await this.settings.cache.put(sha256, result);
      return result;
    } finally {
      const next = this.#queue.shift();
      if (next) next(slot);
      else this.#freeSlots.push(slot);
    }
  }

  async #slot(): Promise<number> {
    const free = this.#freeSlots.pop();
    if (free !== undefined) return free;
    if (this.#queue.length >= QUEUE_MAX) {
      throw this.#tooMany();
    }
    return new Promise((resolve) => this.#queue.push(resolve));
  }

  #tooMany(): DrvsError {
    const { length } = this.#queue;
    return new DrvsError('TooManyRequests', `${length} programs wait to be made ready on this node`, {
      hint: 'Try again in a minute.',
    });
  }

  async #run(slot: number, module: Uint8Array): Promise<Uint8Array> {
    const { tree, privileges, loaderMain } = this.settings;
    const group = tree.isEmpty ? null : tree.group('loader', `slot${slot}`);
    group?.create();
    group?.set({ memoryMiB: LOADER_MEMORY_MIB, pids: LOADER_PIDS_MAX, cpuWeight: LOADER_CPU_WEIGHT });
    const killsBefore = group?.usage().memoryKills ?? 0;
    const uid = privileges.hasOwnUsers && privileges.users ? privileges.users.first : null;
    const [file, ...args] = joinAndBecome(group, [
      ...(privileges.canGiveUpPrivileges ? giveUpPrivileges(uid) : []),
      process.execPath,
      `--max-old-space-size=${LOADER_MEMORY_MIB / 2}`,
      // Functions are nested as deeply as their programmers like, and so is the work on them (KiB; threads have 8 MiB).
      '--stack-size=4000',
      loaderMain,
    ]);
    const child = spawn(file as string, args, {
      cwd: '/',
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH, LANG: 'C.UTF-8', NODE_ENV: 'production' },
    });
    try {
      return await new Promise<Uint8Array>((resolve, reject) => {
        const output: Buffer[] = [];
        let outputBytes = 0;
        const errors: Buffer[] = [];
        let errorBytes = 0;
        const timer = setTimeout(() => {
          reject(
            new DrvsError('Timeout', `the program was not ready after ${INSTRUMENT_TIMEOUT_MS / 1_000} s`, {
              hint: 'Build it smaller (-Oz), or try again when the node has less to do.',
            }),
          );
        }, INSTRUMENT_TIMEOUT_MS);
        child.stdout.on('data', (piece: Buffer) => {
          outputBytes += piece.length;
          if (outputBytes <= RESULT_MAX_BYTES) output.push(piece);
          else {
            reject(
              new DrvsError(
                'ProgramTooLarge',
                `the program made ready has more than ${RESULT_MAX_BYTES} bytes`,
              ),
            );
          }
        });
        child.stderr.on('data', (piece: Buffer) => {
          errorBytes += piece.length;
          if (errorBytes <= ERROR_MAX_BYTES) errors.push(piece);
        });
        child.stdin.on('error', () => {}); // It ended before it read all; its exit says why.
        child.stdin.end(module);
        child.once('error', (error) => reject(error));
        child.once('close', (code, signalName) => {
          clearTimeout(timer);
          if (code === 0) return resolve(Buffer.concat(output));
          if ((group?.usage().memoryKills ?? 0) > killsBefore) {
            return reject(
              new DrvsError(
                'ProgramTooLarge',
                `making the program ready took more than ${LOADER_MEMORY_MIB} MiB of memory`,
                { hint: 'Build it smaller (-Oz, fewer inlined functions).' },
              ),
            );
          }
          reject(loaderError(Buffer.concat(errors).toString('utf8'), `${code ?? signalName}`));
        });
      });
    } finally {
      child.kill('SIGKILL');
      await group?.remove();
    }
  }
}

/** What the loader said: an ErrorBody in JSON on its last line, or anything when it crashed. */
function loaderError(text: string, exit: string): DrvsError {
  const last = text.trim().split('\n').at(-1) ?? '';
  try {
    const body = JSON.parse(last) as ErrorBody;
    if (typeof body.code === 'string' && typeof body.message === 'string') return DrvsError.fromBody(body);
  } catch {
    // Not an ErrorBody: it crashed.
  }
  return new DrvsError('UnsupportedModule', `the loader ended with ${exit}: ${last.slice(0, 500)}`, {
    hint: 'The program may be damaged or unusually nested. Build it again with fewer optimisations.',
  });
}
