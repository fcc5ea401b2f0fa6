import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ContainerMethod, RpcContext } from '@drvs/contracts';
import type { Transport } from '@drvs/drvmm-core';
import { instrument } from '@drvs/dvos/loader';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import binaryen from 'binaryen';
import { MolContainer } from '../container.js';

/** A DRVM of one node speaks to nobody. */
const alone: Transport = {
  events: { ipc() {}, peerUp() {}, peerLost() {}, control() {} },
  port: 0,
  async start() {},
  setPeers() {},
  rotate() {},
  sendIpc: () => false,
  control: () => undefined,
  isUp: () => false,
  setSendLimit() {},
  sent: { sentBytes: 0, heldTimes: 0, heldMs: 0 },
  receivedBytes: 0,
  async close() {},
};

const folder = mkdtempSync(join(tmpdir(), 'drvs-stack-'));
const container = new MolContainer({
  spec: {
    drvmId: 'deep',
    drvmName: 'deep',
    dvos: 'mol',
    generation: 1,
    index: 0,
    home: 0,
    limits: { cpuMilli: 1000, memoryMiB: 256, diskGiB: 1, networkMbps: 0 },
    peers: [{ index: 0, nodeId: 'node1', nodeName: 'node1', host: '127.0.0.1', port: 1 }],
    authorityCertificate: '',
    certificate: '',
  },
  incarnation: 'deep',
  dataFolder: join(folder, 'drvm'),
  transport: alone,
  instrument: async (_sha256, bytes) => instrument(bytes).module,
  emit: () => {},
});

function call(
  method: ContainerMethod,
  params: unknown,
  body: Uint8Array = new Uint8Array(0),
): Promise<unknown> {
  const context: RpcContext = { method, body, signal: new AbortController().signal, chunk: async () => {} };
  return container.call(method, params, context);
}

function assemble(wat: string): Uint8Array {
  const { MVP, BulkMemory, SignExt, MutableGlobals } = binaryen.Features;
  const module = binaryen.parseText(wat);
  module.setFeatures(MVP | BulkMemory | SignExt | MutableGlobals);
  const bytes = module.emitBinary();
  module.dispose();
  return bytes;
}

/** What is done at the bottom of the recursion, in order of its number. */
const BODIES = {
  nothing: '(nop)',
  getpid: '(drop (call $getpid))',
  write: '(drop (call $write (i32.load (i32.const 100)) (i32.const 300) (i32.const 1) (i32.const 104)))',
  grow: '(drop (memory.grow (i32.const 1)))',
  grant: '(drop (call $grant (i32.const 1) (i32.const 0) (i32.const 8) (i32.const 3)))',
  create: `(drop (call $open (i32.const 3) (i32.const 0) (i32.const 200) (i32.const 3) (i32.const 9)
      (i64.const 0x1fffffff) (i64.const 0x1fffffff) (i32.const 0) (i32.const 100)))`,
  kill: '(drop (call $kill (i32.const 9999) (i32.const 9)))',
} as const;
type Body = keyof typeof BODIES;
const NAMES = Object.keys(BODIES) as Body[];
/** Depths that are tried of each. */
const DEPTHS = 100;

/**
 * Recurses as many times as its first argument says, in frames of few bytes, and does at the bottom what the second
 * names. /out is opened before; its descriptor is at 100.
 */
const RECURSING = `(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "dvos" "getpid" (func $getpid (result i32)))
  (import "dvos" "grant" (func $grant (param i32 i32 i32 i32) (result i32)))
  (import "dvos" "kill" (func $kill (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 200) "out")
  (data (i32.const 300) "\\40\\01\\00\\00\\40\\00\\00\\00")
  (global $below (mut i32) (i32.const 0))
  (func $number (param $at i32) (result i32) (local $value i32)
    (loop $digit
      (local.set $value (i32.add (i32.mul (local.get $value) (i32.const 10))
        (i32.sub (i32.load8_u (local.get $at)) (i32.const 48))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $digit (i32.load8_u (local.get $at))))
    (local.get $value))
  (global $body (mut i32) (i32.const 0))
  (func $bottom
    ${Object.values(BODIES)
      .map((body, index) => `(if (i32.eq (global.get $body) (i32.const ${index})) (then ${body}))`)
      .join('\n    ')})
  (func $deep (param $levels i32)
    (if (i32.eqz (local.get $levels)) (then (call $bottom)) (else
      (call $deep (i32.sub (local.get $levels) (i32.const 1)))))
    (global.set $below (i32.add (global.get $below) (i32.const 1))))
  (func (export "_start")
    (drop (call $args (i32.const 1000) (i32.const 2000)))
    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 200) (i32.const 3) (i32.const 1)
      (i64.const 0x1fffffff) (i64.const 0x1fffffff) (i32.const 1) (i32.const 100)))
    (global.set $body (call $number (i32.load (i32.const 1008))))
    (call $deep (call $number (i32.load (i32.const 1004))))))`;

interface End {
  exitCode: number;
  signal: string | null;
  reason: string | null;
}

async function run(body: Body, levels: number): Promise<End> {
  const { pid } = (await call('process.start', {
    program: '/recursing.wasm',
    args: [String(levels), String(NAMES.indexOf(body))],
  })) as { pid: number };
  return (await call('process.wait', { pid })) as End;
}

/** The largest number of levels with which the process comes to its own end, once its code is as fast as it gets. */
async function deepest(body: Body): Promise<number> {
  for (let warm = 0; warm < 200; warm++) await run(body, 1_000);
  let [most, least] = [200_000, 1];
  while (most - least > 1) {
    const middle = (most + least) >> 1;
    if ((await run(body, middle)).exitCode === 0) least = middle;
    else most = middle;
  }
  return least;
}

let limit = 0;
const failures = jest.spyOn(console, 'error').mockImplementation(() => {});

beforeAll(async () => {
  await container.start();
  await call('file.write', { path: '/recursing.wasm' }, assemble(RECURSING));
  limit = await deepest('nothing');
});

afterAll(async () => {
  await container.stop(0);
  rmSync(folder, { recursive: true, force: true });
  failures.mockRestore();
});

describe('stack gate', () => {
  test.each(NAMES)(
    '%s at every depth up to the limit of the stack ends that process at most, and the container goes on',
    async (body) => {
      const endings = { own: 0, overflow: 0 };
      // The last quarter of the stack, and some beyond it.
      const first = Math.floor(limit * 0.75);
      const step = Math.ceil((limit - first) / DEPTHS);
      for (let levels = first; levels <= limit + 20 * step; levels += step) {
        const { exitCode, signal, reason } = await run(body, levels);
        if (exitCode === 0) {
          endings.own++;
          continue;
        }
        expect({ exitCode, signal }).toEqual({ exitCode: 139, signal: 'SIGSEGV' });
        expect(reason).toBe('stack overflow: the program recurses too deeply');
        endings.overflow++;
      }
      expect(endings.own).toBeGreaterThan(0);
      expect(endings.overflow).toBeGreaterThan(0);
      expect(failures).not.toHaveBeenCalled();
      // Nothing is left half done: the same calls still work, and the servers and the kernel answer.
      expect((await run(body, 10)).exitCode).toBe(0);
      expect(((await call('process.list', {})) as { pid: number; exit: unknown }[]).length).toBe(0);
    },
  );
});
