import type { PlannerSettingsView, ScheduleView } from '@drvs/contracts';
import { beforeAll, expect, test } from '@jest/globals';
import { buildCommandLine, runCommand } from '../testing/command-line.js';
import { type Answering, HttpPeer, json, problem } from '../testing/http-peer.js';
import { parseChanges } from './policy.js';

const schedule: ScheduleView = {
  name: 'noche',
  id: 's1',
  cron: '0 2 * * *',
  timeZone: 'UTC',
  plan: { kind: 'restore', node: 'node2', mode: 'stay' },
  enabled: true,
  missed: 'skip',
  nextRuns: ['2026-01-02T02:00:00.000Z', '2026-01-03T02:00:00.000Z'],
  lastRunAt: null,
  lastOutcome: 'missed',
  lastDetail: 'nobody was there',
  lastOperation: null,
  createdBy: 'user/admin',
  createdAt: '2026-01-01T00:00:00.000Z',
  generation: 1,
};
const settings: PlannerSettingsView = {
  modes: { balance: 'automatic', consolidate: 'manual', reallocate: 'manual', power: 'off' },
  policy: { hotUtilisation: 0.9, power: { nodesMin: 2 } },
  changed: ['power.nodesMin'],
  windows: [
    { kinds: ['balance'], effect: 'quiet', days: ['mon'], from: '08:00', to: '18:00', timeZone: 'UTC' },
  ],
  generation: 3,
  updatedBy: 'user/admin',
  updatedAt: '2026-01-01T00:00:00.000Z',
};

const drvs: Answering = ({ method, path }, response) => {
  if (path === '/api/v1/schedules' && method === 'GET')
    return json(response, { items: [schedule], nextCursor: null });
  if (path.startsWith('/api/v1/schedules')) return json(response, schedule, method === 'POST' ? 201 : 200);
  if (path === '/api/v1/planner') return json(response, settings);
  problem(response, 404, 'NotFound', `${method} ${path}`);
};

beforeAll(() => buildCommandLine());

async function run(...words: string[]) {
  await using peer = await HttpPeer.start(drvs);
  const { code, stdout } = await runCommand(words, { DRVS_URL: peer.url });
  const changes = peer.asked.filter(({ method }) => method !== 'GET');
  return {
    code,
    stdout: stdout.toString(),
    changes: changes.map(({ method, path, body }) => [method, path.slice('/api/v1'.length), body.toString()]),
  };
}

test('a schedule is made with its plan, its times and its time zone', async () => {
  const { code, changes } = await run(
    'schedule',
    'create',
    'noche',
    'restore',
    'node2',
    '--mode',
    'stay',
    '--cron',
    '0 2 * * *',
  );
  expect(code).toBe(0);
  expect(changes).toEqual([
    [
      'POST',
      '/schedules',
      '{"name":"noche","cron":"0 2 * * *","timeZone":"UTC","missed":"skip","enabled":true,"plan":{"kind":"restore","node":"node2","mode":"stay"}}',
    ],
  ]);
});

test('the list tells what runs when, and what came of it last', async () => {
  expect((await run('schedule', 'list')).stdout.split('\n').slice(0, 2)).toEqual([
    'NAME    PLAN                 CRON        ZONE   NEXT                       LAST    OUTCOME',
    'noche   restore node2 stay   0 2 * * *   UTC    2026-01-02T02:00:00.000Z   never   missed',
  ]);
  expect((await run('schedule', 'stop', 'noche')).changes).toEqual([
    ['PATCH', '/schedules/noche', '{"enabled":false}'],
  ]);
});

test('a kind that needs a node, or has none, is wrong usage', async () => {
  expect((await run('schedule', 'create', 'a', 'drain', '--cron', '0 2 * * *')).code).toBe(2);
  expect((await run('schedule', 'create', 'a', 'balance', 'node1', '--cron', '0 2 * * *')).code).toBe(2);
  expect((await run('schedule', 'create', 'a', 'dance', '--cron', '0 2 * * *')).code).toBe(2);
});

test('a policy is set by name, in groups, and put back to its default', async () => {
  expect(
    parseChanges(['balance=automatic', 'hotUtilisation=0.7', 'power.nodesMin=2', 'power.payback=']),
  ).toEqual({
    modes: { balance: 'automatic' },
    policy: { hotUtilisation: 0.7, power: { nodesMin: 2, payback: null } },
  });
  for (const word of ['balance', 'balance=maybe', 'hotUtilisation=much', '=1'])
    expect(() => parseChanges([word])).toThrow();
  const { stdout, changes } = await run('policy', 'set', 'power.nodesMin=2');
  expect(changes).toEqual([['PATCH', '/planner', '{"policy":{"power":{"nodesMin":2}}}']]);
  expect(stdout).toContain('power.nodesMin   2     changed');
  expect(stdout).toContain('quiet    balance    mon    08:00   18:00   UTC');
});
