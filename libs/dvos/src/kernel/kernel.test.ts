import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { IpcKernel } from '@drvs/drvmm-core';
import { instrument } from '@drvs/dvos/loader';
import { afterEach, describe, expect, test } from '@jest/globals';
import binaryen from 'binaryen';
import { KNOWN_IMPORTS } from '../loader/imports.js';
import type { SystemCall } from './caller.js';
import { dvosCalls } from './dvos-calls.js';
import type { Ending } from './ending.js';
import { Kernel } from './kernel.js';
import { Modules } from './modules.js';
import { Processor, type SystemCalls } from './processor.js';

/** Calls of WASI that these programs make, without servers: a line of output, sleep, exit. */
function consoleCalls(lines: string[]): SystemCalls {
  const wanted: Record<string, SystemCall> = {
    proc_exit: (caller, code: number) => caller.exit(code),
    proc_raise: (caller, signal: number) => caller.raise(signal),
    sched_yield: (caller) => {
      if (caller.step !== 0) return 0;
      caller.step = 1;
      return caller.yield();
    },
    // (pointer, length): a line.
    fd_prestat_dir_name: (caller, _fd: number, pointer: number, length: number) => {
      lines.push(Buffer.from(caller.bytes().subarray(pointer, pointer + length)).toString());
      return 0;
    },
    // (value): a number.
    fd_tell: (_caller, value: number) => {
      lines.push(String(value));
      return 0;
    },
    // (ms): sleeps.
    fd_sync: (caller, ms: number) => {
      if (caller.step === 0) {
        caller.step = 1;
        caller.scratch[0] = caller.monotonicMs() + ms;
        return caller.sleepUntil(caller.scratch[0]);
      }
      return caller.monotonicMs() >= caller.scratch[0]! ? 0 : 1;
    },
  };
  const calls: Record<string, SystemCall> = {};
  for (const { name, module } of KNOWN_IMPORTS)
    if (module !== 'dvos') calls[name] = wanted[name] ?? (() => 52);
  return calls;
}

interface Machine {
  kernel: Kernel;
  lines: string[];
  endings: Map<number, Ending>;
  ended(pid: number): Promise<Ending>;
}

const machines: Machine[] = [];

function makeMachine(memoryMiB = 64, lines: string[] = [], liveMachinesMost?: number): Machine {
  const endings = new Map<number, Ending>();
  const waiters = new Map<number, (ending: Ending) => void>();
  const ipc = new IpcKernel({ index: 0, network: { send: () => {} } });
  const kernel = new Kernel({
    ipc,
    processor: new Processor({
      wasi_snapshot_preview1: consoleCalls(lines),
      wasi_unstable: consoleCalls(lines),
      dvos: dvosCalls({ index: 0, name: 'node1', count: 1 }),
    }),
    modules: new Modules(),
    memoryLimitBytes: memoryMiB * 1_048_576,
    liveMachinesMost,
    onEnded: ({ pid }, ending) => {
      endings.set(pid, ending);
      waiters.get(pid)?.(ending);
    },
  });
  const machine: Machine = {
    kernel,
    lines,
    endings,
    ended: (pid) =>
      new Promise((resolve) => {
        const ending = endings.get(pid);
        if (ending) resolve(ending);
        else waiters.set(pid, resolve);
      }),
  };
  machines.push(machine);
  return machine;
}

afterEach(() => {
  for (const { kernel } of machines.splice(0)) kernel.close();
});

const programs = new Map<string, Uint8Array>();

function assemble(wat: string): Uint8Array {
  const { MVP, BulkMemory, SignExt, MutableGlobals } = binaryen.Features;
  const module = binaryen.parseText(wat);
  module.setFeatures(MVP | BulkMemory | SignExt | MutableGlobals);
  const bytes = module.emitBinary();
  module.dispose();
  return bytes;
}

function build(wat: string): { hash: string; bytes: Uint8Array } {
  const hash = createHash('sha256').update(wat).digest('hex');
  let bytes = programs.get(wat);
  if (bytes === undefined) {
    bytes = instrument(assemble(wat)).module;
    programs.set(wat, bytes);
  }
  return { hash, bytes };
}

async function start(machine: Machine, wat: string, pid = 1): Promise<void> {
  const { hash, bytes } = build(wat);
  const module = await machine.kernel.modules.add(hash, bytes);
  machine.kernel.start(
    { endpoint: (0x2_0000 + 29 + pid) as never, pid, args: ['test'], env: [], programHash: hash },
    module,
  );
}

const IMPORTS = `
  (import "dvos" "getpid" (func $getpid (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "proc_raise" (func $raise (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
  (import "wasi_snapshot_preview1" "fd_tell" (func $number (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_sync" (func $sleep (param i32) (result i32)))`;

/** Sums a pseudo-random walk over `rounds`, printing every `every`. */
const walk = (rounds: number, every: number) => `(module ${IMPORTS}
  (memory (export "memory") 2)
  (global $sum (mut i32) (i32.const 0))
  (func (export "_start") (local $i i32) (local $x i32)
    (local.set $x (i32.const 12345))
    (loop $next
      (local.set $x (i32.add (i32.mul (local.get $x) (i32.const 1103515245)) (i32.const 12345)))
      (i32.store (i32.and (i32.shr_u (local.get $x) (i32.const 8)) (i32.const 0x1fff0)) (local.get $x))
      (global.set $sum (i32.add (global.get $sum)
        (i32.load (i32.and (i32.shr_u (local.get $x) (i32.const 12)) (i32.const 0x1fff0)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (if (i32.eqz (i32.rem_u (local.get $i) (i32.const ${every})))
        (then (drop (call $number (global.get $sum) (i32.const 0)))))
      (br_if $next (i32.lt_u (local.get $i) (i32.const ${rounds}))))
    (call $exit (i32.const 7))))`;

/** The same program as it is, run by V8 without us. */
function expectedWalk(rounds: number, every: number): string[] {
  const lines: string[] = [];
  const wasi = {
    fd_tell: (value: number) => void lines.push(String(value)),
    proc_exit: () => undefined,
    proc_raise: () => 0,
    sched_yield: () => 0,
    fd_sync: () => 0,
  };
  const module = new WebAssembly.Module(assemble(walk(rounds, every)) as Uint8Array<ArrayBuffer>);
  const instance = new WebAssembly.Instance(module, {
    wasi_snapshot_preview1: wasi,
    dvos: { getpid: () => 1 },
  });
  (instance.exports._start as () => void)();
  return lines;
}

describe('kernel', () => {
  test('runs a program to its exit in slices, and the event loop goes on meanwhile', async () => {
    const machine = makeMachine();
    let ticks = 0;
    const ticker = setInterval(() => ticks++, 1);
    await start(machine, walk(6_000_000, 500_000));
    const ending = await machine.ended(1);
    clearInterval(ticker);
    expect(ending).toEqual({ exitCode: 7, signal: null, reason: null });
    expect(machine.lines).toEqual(expectedWalk(6_000_000, 500_000));
    expect(ticks).toBeGreaterThan(2);
    expect(machine.kernel.memoryBytes).toBe(0);
  });

  test('a process moved in mid-computation prints what it would have printed at home', async () => {
    const lines: string[] = [];
    let here = makeMachine(64, lines);
    await start(here, walk(40_000_000, 1_000_000));
    const endpoint = (0x2_0000 + 30) as never;
    for (let move = 1; move <= 5; move++) {
      const wanted = lines.length + 2;
      while (lines.length < wanted) await new Promise((resolve) => setImmediate(resolve));
      const there = makeMachine(64, lines);
      const { hash, bytes } = build(walk(40_000_000, 1_000_000));
      await there.kernel.modules.add(hash, bytes);
      here.kernel.freeze(endpoint);
      const { record, parts } = here.kernel.depart(endpoint);
      let sum = crc32(record);
      there.kernel.arrive(move, record);
      for (const part of parts) {
        sum = crc32(part, sum);
        there.kernel.addPart(move, part);
      }
      there.kernel.install(move, sum);
      here.kernel.departed(endpoint, 0, 1 + move);
      there.kernel.activate(move, endpoint, 1 + move);
      expect(here.kernel.size).toBe(0);
      expect(here.kernel.memoryBytes).toBe(0);
      here = there;
    }
    expect(await here.ended(1)).toEqual({ exitCode: 7, signal: null, reason: null });
    expect(lines).toEqual(expectedWalk(40_000_000, 1_000_000));
  });

  test('a process copied in rounds while it computes arrives as it is when it stops', async () => {
    const lines: string[] = [];
    const here = makeMachine(64, lines);
    const there = makeMachine(64, lines);
    const { hash, bytes } = build(walk(20_000_000, 1_000_000));
    await start(here, walk(20_000_000, 1_000_000));
    await there.kernel.modules.add(hash, bytes);
    while (lines.length < 2) await new Promise((resolve) => setImmediate(resolve));
    const endpoint = (0x2_0000 + 30) as never;
    const outline = here.kernel.outline(endpoint)!;
    there.kernel.expect(7, outline);
    const shadow = new Uint8Array(outline.memoryPages * 65_536);
    let sum = 0;
    const carry = (parts: Iterable<Uint8Array>) => {
      for (const part of parts) {
        sum = crc32(part, sum);
        there.kernel.addPart(7, part);
      }
    };
    carry(here.kernel.preCopy(endpoint, shadow));
    for (let round = 0; round < 3; round++) {
      const wanted = lines.length + 1;
      while (lines.length < wanted) await new Promise((resolve) => setImmediate(resolve));
      carry(here.kernel.preCopy(endpoint, shadow));
      // Nothing has run since, so nothing is left to be sent.
      expect([...here.kernel.preCopy(endpoint, shadow)]).toEqual([]);
    }
    here.kernel.freeze(endpoint);
    const { record, parts } = here.kernel.depart(endpoint, shadow);
    sum = crc32(record, sum);
    there.kernel.arrive(7, record);
    carry(parts);
    there.kernel.install(7, sum);
    here.kernel.departed(endpoint, 0, 2);
    there.kernel.activate(7, endpoint, 2);
    expect(await there.ended(1)).toEqual({ exitCode: 7, signal: null, reason: null });
    expect(lines).toEqual(expectedWalk(20_000_000, 1_000_000));
  });

  test('six processes share the processor in turn', async () => {
    const machine = makeMachine();
    for (let pid = 1; pid <= 6; pid++) await start(machine, walk(3_000_000, 3_000_000), pid);
    const order: number[] = [];
    await Promise.all([1, 2, 3, 4, 5, 6].map(async (pid) => order.push((await machine.ended(pid)) && pid)));
    expect(order.length).toBe(6);
    expect(new Set(machine.lines).size).toBe(1);
    expect(machine.kernel.scheduler.turns).toBeGreaterThan(12);
  });

  test('a sleeping process costs no turns and wakes in time', async () => {
    const machine = makeMachine();
    const began = performance.now();
    await start(
      machine,
      `(module ${IMPORTS} (memory (export "memory") 1)
        (func (export "_start") (call $exit (call $sleep (i32.const 120)))))`,
    );
    expect((await machine.ended(1)).exitCode).toBe(0);
    expect(performance.now() - began).toBeGreaterThanOrEqual(120);
    expect(machine.kernel.scheduler.turns).toBeLessThanOrEqual(2);
  });

  test.each([
    ['unreachable', '(unreachable)', 'SIGILL', /unreachable/],
    ['a load beyond the memory', '(drop (i32.load (i32.const 0x7fffffff)))', 'SIGSEGV', /out of bounds/],
    ['division by zero', '(drop (i32.div_s (i32.const 1) (call $zero)))', 'SIGFPE', /division by zero/],
    ['endless recursion', '(call $deep)', 'SIGSEGV', /stack overflow/],
    ['raise(SIGABRT)', '(drop (call $raise (i32.const 6)))', 'SIGABRT', null],
  ])('%s ends that process alone, and says why', async (_name, code, signal, reason) => {
    const machine = makeMachine();
    await start(machine, walk(3_000_000, 1_000_000), 2);
    await start(
      machine,
      `(module ${IMPORTS} (memory (export "memory") 1)
        (func $zero (result i32) (i32.const 0))
        (func $deep (call $deep) (drop (call $getpid)))
        (func (export "_start") ${code}))`,
    );
    const ending = await machine.ended(1);
    expect(ending.signal).toBe(signal);
    if (reason) expect(ending.reason).toMatch(reason);
    expect((await machine.ended(2)).exitCode).toBe(7);
  });

  test('memory grows up to the limit of the container, then the guest is refused', async () => {
    const machine = makeMachine(1);
    await start(
      machine,
      `(module ${IMPORTS} (memory (export "memory") 1)
        (func (export "_start")
          (drop (call $number (memory.grow (i32.const 10)) (i32.const 0)))
          (i32.store (i32.const 700000) (i32.const 5))
          (drop (call $number (memory.grow (i32.const 10)) (i32.const 0)))
          (drop (call $number (i32.load (i32.const 700000)) (i32.const 0)))))`,
    );
    expect((await machine.ended(1)).exitCode).toBe(0);
    expect(machine.lines).toEqual(['1', '-1', '5']);
    expect(machine.kernel.memoryBytes).toBe(0);
  });

  test('a program larger than the container is refused with the figures', async () => {
    const machine = makeMachine(1);
    await expect(
      start(machine, `(module (memory (export "memory") 32) (func (export "_start")))`),
    ).rejects.toThrow(/needs 2 MiB; the DRVM has 1 MiB/);
  });

  test('SIGSTOP halts, SIGCONT lets go on, SIGTERM ends', async () => {
    const machine = makeMachine();
    const endpoint = (0x2_0000 + 30) as never;
    await start(machine, walk(2_000_000_000, 1_000_000));
    while (machine.lines.length < 2) await new Promise((resolve) => setImmediate(resolve));
    machine.kernel.signal(endpoint, 19);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const printed = machine.lines.length;
    expect(machine.kernel.counters()[0]?.state).toBe('stopped');
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(machine.lines.length).toBe(printed);
    machine.kernel.signal(endpoint, 18);
    while (machine.lines.length < printed + 2) await new Promise((resolve) => setImmediate(resolve));
    machine.kernel.signal(endpoint, 15);
    expect(await machine.ended(1)).toEqual({ exitCode: 143, signal: 'SIGTERM', reason: null });
  });

  test('a loop of system calls alone is set aside in time too', async () => {
    const machine = makeMachine();
    let ticks = 0;
    const ticker = setInterval(() => ticks++, 1);
    await start(
      machine,
      `(module ${IMPORTS} (memory (export "memory") 1)
        (func (export "_start") (local $i i32)
          (loop $next
            (drop (call $number (i32.const 1) (i32.const 0)))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $i) (i32.const 300000))))))`,
    );
    await machine.ended(1);
    clearInterval(ticker);
    expect(machine.lines.length).toBe(300_000);
    expect(ticks).toBeGreaterThan(3);
  });

  test('a thousand processes that yield in turn all come to their end', async () => {
    const machine = makeMachine(200);
    const wat = `(module ${IMPORTS} (memory (export "memory") 1)
      (func (export "_start") (local $i i32)
        (loop $next
          (drop (call $yield))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $next (i32.lt_u (local.get $i) (i32.const 20))))
        (call $exit (call $getpid))))`;
    for (let pid = 1; pid <= 1000; pid++) await start(machine, wat, pid);
    for (let pid = 1; pid <= 1000; pid++) expect((await machine.ended(pid)).exitCode).toBe(pid & 0xff);
  });

  test('more processes than there may be machines take turns in being put away, and keep their memory', async () => {
    const machine = makeMachine(64, [], 8);
    const wat = `(module ${IMPORTS} (memory (export "memory") 1)
      (global $rounds (mut i32) (i32.const 0))
      (func (export "_start") (local $i i32)
        (i32.store (i32.const 5000) (call $getpid))
        (loop $next
          (drop (call $yield))
          (i32.store (i32.const 60000) (i32.add (i32.load (i32.const 60000)) (i32.load (i32.const 5000))))
          (global.set $rounds (i32.add (global.get $rounds) (i32.const 1)))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $next (i32.lt_u (local.get $i) (i32.const 5))))
        (call $exit (i32.add (global.get $rounds) (i32.load (i32.const 60000))))))`;
    for (let pid = 1; pid <= 40; pid++) await start(machine, wat, pid);
    for (let pid = 1; pid <= 40; pid++)
      expect((await machine.ended(pid)).exitCode).toBe((5 + 5 * pid) & 0xff);
  });

  test('a container with a fifth of a CPU gives its guests no more', async () => {
    const machine = makeMachine();
    const { scheduler } = machine.kernel;
    scheduler.cpuMilli = 200;
    await start(machine, walk(2_000_000_000, 100_000_000));
    await new Promise((resolve) => setTimeout(resolve, 200));
    const began = performance.now();
    const before = process.threadCpuUsage();
    const { turns } = scheduler;
    await new Promise((resolve) => setTimeout(resolve, 800));
    const { user, system } = process.threadCpuUsage(before);
    // CPU of this thread by time that passed: a busy machine only makes it less. A fifth, and what the test itself takes.
    expect((user + system) / 1_000).toBeLessThan(0.4 * (performance.now() - began));
    expect(scheduler.turns).toBeGreaterThan(turns);
  });
});
