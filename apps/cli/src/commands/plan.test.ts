import type { ClusterPlanView, OperationView, PlanOutcome } from '@drvs/contracts';
import { beforeAll, expect, test } from '@jest/globals';
import { buildCommandLine, runCommand } from '../testing/command-line.js';
import { type Answering, HttpPeer, json, problem } from '../testing/http-peer.js';

const made: ClusterPlanView = {
  id: 'p1',
  kind: 'drain',
  node: 'node2',
  snapshot: 'abc',
  steps: [
    { action: 'cordon', node: 'node2', nodeId: 'n2', reason: 'node2 is to be emptied and gets nothing new' },
    {
      action: 'migrate-process',
      drvm: 'aula',
      drvmId: 'd1',
      pid: 12,
      command: '/bin/primes',
      from: 'node2',
      to: 'node3',
      cpu: 0.25,
      bytes: 2_097_152,
      pauseMs: 4.7,
      reason: 'node2 is drained; node3 is the least busy node of its DRVM with room for it',
    },
  ],
  gain: {
    strainBefore: 1,
    strainAfter: 1,
    wattsBefore: 0,
    wattsAfter: 0,
    nodesOnBefore: 3,
    nodesOnAfter: 3,
    unmetCpuBefore: 0,
    unmetCpuAfter: 0,
    summary: 'no change of load or power',
  },
  cost: {
    moves: 1,
    bytes: 2_097_152,
    pauseMs: 4.7,
    seconds: 0.1,
    summary: '1 move, 2.0 MiB, 5 ms of pauses in all',
  },
  rejected: [{ what: 'aula@node2', reason: 'too little is free there', advice: 'add a node' }],
  origin: 'request',
  requestedBy: 'user/admin',
  createdAt: '2026-01-01T00:00:00.000Z',
  expiresAt: '2026-01-01T00:10:00.000Z',
  operation: null,
};
const outcome: PlanOutcome = {
  plan: 'p1',
  kind: 'drain',
  node: 'node2',
  moved: [{ drvm: 'aula', pid: 12, from: 'node2', to: 'node3', bytes: 2_097_152, pauseMs: 3.4 }],
  slices: [
    { drvm: 'labo', from: 'node2', to: 'node1', processes: 2, bytes: 4_194_304, pauseMs: 6, home: true },
  ],
  resized: [],
  nodes: [{ node: 'node2', change: 'closed' }],
  notDone: [],
  skipped: [{ step: 'move process 13 of aula from node2 to node1', reason: 'process 13 has ended' }],
  stays: made.rejected,
};
const operation: OperationView = {
  id: 'o1',
  kind: 'plan.apply',
  state: 'succeeded',
  progress: 1,
  subject: 'node/node2',
  steps: [],
  result: outcome,
  error: null,
  requestedBy: 'user/admin',
  createdAt: made.createdAt,
  endedAt: made.createdAt,
};

const restored: OperationView = {
  ...operation,
  id: 'o2',
  result: { ...outcome, slices: [], moved: [], skipped: [], stays: [] },
};

const drvs: Answering = ({ method, path }, response) => {
  if (method === 'POST' && path === '/api/v1/plans') return json(response, made, 201);
  if (path === '/api/v1/plans/p1/apply' || path === '/api/v1/nodes/node2/drain')
    return json(response, operation, 202);
  if (path.startsWith('/api/v1/operations/o1')) return json(response, operation);
  if (path === '/api/v1/nodes/node2/restore') return json(response, restored, 202);
  if (path.startsWith('/api/v1/operations/o2')) return json(response, restored);
  problem(response, 404, 'NotFound', `${method} ${path}`);
};

beforeAll(() => buildCommandLine());

async function run(...words: string[]) {
  await using peer = await HttpPeer.start(drvs);
  const { code, stdout } = await runCommand(words, { DRVS_URL: peer.url });
  const posted = peer.asked.filter(({ method }) => method === 'POST');
  return {
    code,
    stdout: stdout.toString(),
    posted: posted.map(({ path, body }) => [path.slice('/api/v1'.length), body.toString()]),
  };
}

test('a dry run says each step with its reason, the gain, the cost, what is not done, and how to do it', async () => {
  const { code, stdout, posted } = await run('plan', 'drain', 'node2');
  expect(code).toBe(0);
  expect(posted).toEqual([['/plans', '{"kind":"drain","node":"node2"}']]);
  expect(stdout.split('\n')).toEqual([
    'drain node2: 2 steps',
    '',
    'STEP    WHAT                  WHERE            CPU    SIZE    REASON',
    'close   node2                 -                -      -       node2 is to be emptied and gets nothing new',
    'move    aula/12 /bin/primes   node2 -> node3   0.25   2 MiB   node2 is drained; node3 is the least busy node of its DRVM with room for it',
    '',
    'Gain: no change of load or power',
    'Cost: 1 move, 2.0 MiB, 5 ms of pauses in all',
    '',
    'NOT DONE     REASON                     WHAT TO CHANGE',
    'aula@node2   too little is free there   add a node',
    '',
    'Nothing has been done. To do it: drvs plan drain node2 --apply',
    '',
  ]);
});

test('--apply carries out the very plan that was shown, and --json gives the plan and what came of it', async () => {
  const { stdout, posted } = await run('plan', 'balance', '--apply', '--json');
  expect(posted.map(([path]) => path)).toEqual(['/plans', '/plans/p1/apply']);
  expect(JSON.parse(stdout)).toEqual({ ...made, operation: 'o1', result: outcome });
  expect((await run('plan', 'balance', '--json')).stdout).toBe(`${JSON.stringify(made, null, 2)}\n`);
  expect((await run('plan', 'balance', '--apply', '--no-wait')).stdout).toMatch(/\no1\n$/);
});

test('a drain says what moved, what was not needed and what stays; a restore opens the node', async () => {
  const { stdout } = await run('node', 'drain', 'node2');
  expect(stdout.split('\n')).toEqual([
    'node2 takes nothing new',
    'labo moved from node2 to node1: 2 processes, 4 MiB, longest pause 6.0 ms, its servers and files too',
    'aula/12 moved from node2 to node3: 2 MiB, downtime 3.4 ms',
    'not needed: move process 13 of aula from node2 to node1: process 13 has ended',
    '',
    'STAYS        REASON                     WHAT TO CHANGE',
    'aula@node2   too little is free there   add a node',
    '',
  ]);
  expect((await run('node', 'drain', 'node2', '--no-wait')).stdout).toBe('o1\n');
  expect((await run('node', 'restore', 'node2')).stdout).toBe(
    'node2 is up and takes new programs and DRVMs\n',
  );
});
