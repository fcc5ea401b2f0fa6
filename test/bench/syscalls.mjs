// System calls of a guest on its home node, per second, against the same program on node:wasi (or, where WASI has no
// such call, against node:wasi's cheapest one).
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WASI } from 'node:wasi';
import { MolContainer } from '@drvs/dvos';
import { instrument } from '@drvs/dvos/loader';
import { loopOf, median, wat } from './support/wat.mjs';

const RUNS = 5;
const IMPORTS = `
  (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))`;
const GETPID = '(import "dvos" "getpid" (func $getpid (result i32)))';
/** Opens /file of the first directory for writing; its descriptor is at 100. */
const OPEN = `(drop (call $open (i32.const 3) (i32.const 0) (i32.const 200) (i32.const 4) (i32.const 9)
  (i64.const 0x1fffffff) (i64.const 0x1fffffff) (i32.const 0) (i32.const 100)))`;
const module = (imports, body) => `(module ${imports} (memory (export "memory") 1)
  (data (i32.const 200) "file") (data (i32.const 300) "\\00\\02\\00\\00\\40\\00\\00\\00")
  (func (export "_start") (local $i i32) ${body.replace('(local $i i32)', '')}))`;

const WRITE = '(call $write (i32.load (i32.const 100)) (i32.const 300) (i32.const 1) (i32.const 104))';
const cases = [
  {
    name: 'getpid',
    count: 5_000_000,
    ours: (count) => module(IMPORTS + GETPID, loopOf(count, '(call $getpid)')),
    peer: (count) => module(IMPORTS, loopOf(count, '(call $yield)')),
    peerName: 'node:wasi sched_yield',
    goal: 500_000,
  },
  {
    name: 'clock_time_get',
    count: 1_000_000,
    ours: (count) =>
      module(IMPORTS, loopOf(count, '(call $clock (i32.const 1) (i64.const 0) (i32.const 64))')),
    peerName: 'node:wasi',
  },
  {
    name: 'sched_yield',
    count: 500_000,
    ours: (count) => module(IMPORTS, loopOf(count, '(call $yield)')),
    peerName: 'node:wasi',
  },
  {
    name: 'write.64B',
    count: 300_000,
    ours: (count) => module(IMPORTS, OPEN + loopOf(count, WRITE)),
    peerName: 'node:wasi',
    goal: 150_000,
  },
];

const folder = mkdtempSync(join(tmpdir(), 'drvs-syscalls-'));
// A DRVM of one node has no peers to speak to.
const alone = {
  events: {},
  port: 0,
  async start() {},
  setPeers() {},
  sendIpc: () => false,
  control: () => undefined,
  isUp: () => false,
  async close() {},
};
const container = new MolContainer({
  spec: {
    drvmId: 'bench',
    drvmName: 'bench',
    dvos: 'mol',
    generation: 1,
    index: 0,
    home: 0,
    limits: { cpuMilli: 1000, memoryMiB: 512, diskGiB: 4, networkMbps: 0 },
    peers: [{ index: 0, nodeId: 'node1', nodeName: 'node1', host: '127.0.0.1', port: 1 }],
    authorityCertificate: '',
    certificate: '',
  },
  incarnation: 'bench',
  dataFolder: join(folder, 'drvm'),
  transport: alone,
  instrument: async (_sha256, bytes) => instrument(bytes).module,
  emit: () => {},
});
await container.start();
const call = (method, params, body = new Uint8Array(0)) =>
  container.call(method, params, {
    method,
    body,
    signal: new AbortController().signal,
    chunk: async () => {},
  });

async function oursPerSecond({ name, ours, count }) {
  const path = `/${name}.wasm`;
  await call('file.write', { path }, wat(ours(count)));
  const rates = [];
  for (let run = 0; run <= RUNS; run++) {
    const began = performance.now();
    const { pid } = await call('process.start', { program: path });
    const { exitCode, reason } = await call('process.wait', { pid });
    if (exitCode !== 0) throw new Error(`${name}: exit code ${exitCode} ${reason ?? ''}`);
    if (run > 0) rates.push(count / ((performance.now() - began) / 1000));
  }
  return rates;
}

function peerPerSecond({ ours, peer, count }) {
  const compiled = new WebAssembly.Module(wat((peer ?? ours)(count)));
  const rates = [];
  for (let run = 0; run <= RUNS; run++) {
    const wasi = new WASI({ version: 'preview1', returnOnExit: true, preopens: { '/': folder } });
    const instance = new WebAssembly.Instance(compiled, wasi.getImportObject());
    const began = performance.now();
    wasi.start(instance);
    if (run > 0) rates.push(count / ((performance.now() - began) / 1000));
  }
  return rates;
}

const results = [];
try {
  for (const kind of cases) {
    const ours = await oursPerSecond(kind);
    const peers = peerPerSecond(kind);
    const spread = (values) => ({
      median: median(values),
      min: Math.min(...values),
      max: Math.max(...values),
    });
    results.push({
      name: `syscalls.${kind.name}`,
      unit: 'calls/s',
      ours: spread(ours),
      peer: kind.peerName,
      peers: spread(peers),
      ratio: median(ours) / median(peers),
      goal: kind.goal,
    });
  }
} finally {
  await container.stop(0);
  rmSync(folder, { recursive: true, force: true });
}
if (process.argv.includes('--json')) console.log(JSON.stringify(results));
else {
  for (const { name, ours, peer, peers, ratio, goal } of results) {
    const judged =
      goal === undefined ? '' : ours.median >= goal ? ', as fast as wanted' : `, BELOW the ${goal} wanted`;
    console.log(
      `${name.padEnd(24)} ${Math.round(ours.median)}/s, ${peer} ${Math.round(peers.median)}/s: ${ratio.toFixed(2)}×${judged}`,
    );
  }
}
