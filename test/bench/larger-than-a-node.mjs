// Six CPU-bound processes in a DRVM over three nodes that give a third of a core each, against the same six in a DRVM with
// one such node. Rounds alternate; printed is the ratio of the times (3 would be perfect).
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROUNDS = 3;
const PROCESSES = 6;
/** Millions of rounds: about 1.5 s of a whole core each. */
const WORK = ['1000'];

const run = promisify(execFile);
const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const folder = await mkdtemp(join(tmpdir(), 'drvs-bench-'));
const env = { ...process.env, HOME: folder };
const drvs = async (...args) =>
  (await run(join(root, 'drvs'), args, { cwd: folder, env, maxBuffer: 1 << 26 })).stdout;
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const port = await new Promise((resolve) => {
  const server = createServer().listen(0, '127.0.0.1', () => {
    const { port: found } = server.address();
    server.close(() => resolve(found));
  });
});

async function secondsIn(drvm) {
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: PROCESSES }, () => drvs('run', drvm, '/bin/burn', ...WORK)));
  return (performance.now() - startedAt) / 1000;
}

try {
  await drvs('up', '--detach', '--no-demo', '--port', String(port), '--data', join(folder, 'data'));
  await drvs('tenant', 'create', 'bench');
  const create = (name, cpu, memory, nodes) =>
    drvs(
      'drvm',
      'create',
      name,
      '--tenant',
      'bench',
      '--cpu',
      cpu,
      '--memory',
      memory,
      '--disk',
      '3Gi',
      '--nodes',
      nodes,
    );
  await create('one', '0.333', '256Mi', 'node1');
  await create('three', '0.999', '768Mi', 'node1,node2,node3');
  await secondsIn('one'); // The program is instrumented and compiled once.
  await secondsIn('three');
  const rows = [];
  for (let round = 0; round < ROUNDS; round++)
    rows.push({ one: await secondsIn('one'), three: await secondsIn('three') });
  const ratios = rows.map(({ one, three }) => one / three);
  const spread = (values) =>
    `${median(values).toFixed(2)} [${Math.min(...values).toFixed(2)}..${Math.max(...values).toFixed(2)}]`;
  console.log(`one node:    ${spread(rows.map(({ one }) => one))} s`);
  console.log(`three nodes: ${spread(rows.map(({ three }) => three))} s`);
  console.log(`ratio:       ${spread(ratios)}   (goal: at least 2.5)`);
} finally {
  await drvs('down', '--purge', '--yes', '--data', join(folder, 'data')).catch((error) =>
    console.error(error.stderr),
  );
  await rm(folder, { recursive: true, force: true });
}
