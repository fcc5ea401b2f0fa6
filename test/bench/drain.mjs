// A node with 100 processes of 4 MiB is drained, on a whole system of three nodes: how long until nothing of any DRVM is
// there, with all of them still running.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Report } from './support/report.mjs';
import { startStack } from './support/stack.mjs';
import { wat } from './support/wat.mjs';

const PROCESSES = 100;
const AT_ONCE = 4;
/** 4 MiB, each page written to; then it sleeps, 50 ms at a time (poll_oneoff on the monotonic clock), without end. */
const SLEEPER = wat(`(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 64)
  (func (export "_start")
    (memory.fill (i32.const 1024) (i32.const 7) (i32.const 4193280))
    (memory.fill (i32.const 0) (i32.const 0) (i32.const 256))
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const 50000000))
    (loop $sleep
      (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))
      (br $sleep))))`);

const report = new Report();
const stack = await startStack(3);
try {
  await stack.drvs('tenant', 'create', 'bench');
  const size = ['--cpu', '0.9', '--memory', '3Gi', '--disk', '3Gi', '--nodes', 'node1,node2,node3'];
  await stack.drvs('drvm', 'create', 'crowd', '--tenant', 'bench', ...size);
  const program = join(stack.folder, 'sleeper.wasm');
  await writeFile(program, SLEEPER);
  let left = PROCESSES;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (left-- > 0) await stack.drvs('run', 'crowd', '--node', 'node2', '--detach', program);
    }),
  );
  const before = await stack.json('ps', 'crowd');
  const there = before.filter(({ node, command }) => node === 'node2' && command.includes('sleeper'));
  if (there.length !== PROCESSES) throw new Error(`${there.length} of ${PROCESSES} run on node2`);
  const begun = performance.now();
  await stack.drvs('node', 'drain', 'node2');
  const seconds = (performance.now() - begun) / 1000;
  const after = await stack.json('ps', 'crowd');
  const kept = there.filter(({ pid }) => after.some((row) => row.pid === pid && row.node !== 'node2'));
  report.add({
    name: `drain of a node with ${PROCESSES} processes of 4 MiB`,
    unit: 's',
    ours: [seconds],
    wanted: { most: 10 },
  });
  report.add({
    name: 'processes that run on elsewhere',
    unit: 'of 100',
    ours: [kept.length],
    wanted: { least: PROCESSES },
  });
} finally {
  await stack.stop();
}
report.end();
process.exit(0);
