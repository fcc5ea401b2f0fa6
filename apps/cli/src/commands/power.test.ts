import type { EnergyReportView, NodeFailureView, NodePowerView } from '@drvs/contracts';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { buildCommandLine, runCommand } from '../testing/command-line.js';
import { type Answering, HttpPeer, json } from '../testing/http-peer.js';
import { formatKWh } from './energy.js';
import { pairs } from './power.js';

const view: NodePowerView = {
  node: 'node2',
  state: 'off',
  since: new Date(Date.now() - 60_000).toISOString(),
  deadline: null,
  attempts: 0,
  failures: 0,
  reason: 'its driver reads that it is off',
  driver: 'ipmi',
  settings: { host: 'bmc2', port: 623 },
  hasSecret: true,
  automatic: true,
  model: {
    idleWatts: 40,
    fullWatts: 90,
    offWatts: 2,
    bootSeconds: 60,
    restWatts: 20,
    curve: [],
    origin: 'configured',
  },
  watts: 2,
  source: 'model',
  generation: 3,
};
const failure: NodeFailureView = {
  node: 'node2',
  phase: 'fenced',
  since: view.since,
  deadline: null,
  reason: 'user/ana confirmed that it is off',
  evidence: [{ at: view.since, by: 'node3', says: '2 × timed-out (10.0.0.2:20001)' }],
  returns: [],
  heldUntil: null,
  operation: null,
};
const span = { from: view.since, to: view.since, kWh: 0.02, allOnKWh: 1.52, savedKWh: 1.5, measured: 0.25 };
const report: EnergyReportView = {
  now: { watts: 42, nodesOn: 1, nodesOff: 1 },
  today: span,
  month: span,
  nodes: [
    { node: 'node2', state: 'off', watts: 2, source: 'model', todayKWh: 0, monthKWh: 0.5, savedKWh: 1.5 },
  ],
  drvms: [{ drvm: 'aula', tenant: 'fisica', todayKWh: 0.01, monthKWh: 0.5 }],
  tenants: [{ tenant: 'fisica', todayKWh: 0.01, monthKWh: 0.5 }],
  unallocatedKWh: 0.2,
  formula: 'saved = …',
  forecast: [{ at: view.since, cpu: 3.5, basis: 'same-hour-of-week' }],
};

beforeAll(buildCommandLine, 120_000);

async function run(words: string[], answering: Answering, input?: string) {
  await using peer = await HttpPeer.start(answering);
  const ended = await runCommand(words, { DRVS_URL: peer.url }, input);
  return { ...ended, text: ended.stdout.toString('utf8') };
}

describe('drvs node power', () => {
  test('sends settings as they are meant, and a password from where nobody else reads it', async () => {
    let sent: unknown;
    const { code, text } = await run(
      [
        ...['node', 'power', 'set', 'node2', '--driver', 'ipmi', '--host', 'bmc2', '--user', 'drvs'],
        ...['--set', 'port=6230', '--set', 'privilege=operator', '--password-file', '-', '--automatic', 'no'],
        ...['--model', 'idleWatts=40'],
      ],
      (request, response) => {
        sent = JSON.parse(String(request.body));
        json(response, view);
      },
      'hunter2\n',
    );
    expect(code).toBe(0);
    expect(sent).toEqual({
      driver: 'ipmi',
      settings: { host: 'bmc2', user: 'drvs', port: 6230, privilege: 'operator' },
      secret: { password: 'hunter2' },
      automatic: false,
      model: { idleWatts: 40 },
    });
    expect(text).toContain('ipmi');
    expect(text).not.toContain('hunter2');
  });

  test('shows what is, and why', async () => {
    const { text } = await run(['node', 'power', 'status', 'node2'], (_, response) => json(response, view));
    expect(text).toMatch(/Power: +off/);
    expect(text).toMatch(/Because: +its driver reads that it is off/);
    const all = await run(['node', 'power', 'status'], (_, response) => json(response, [view]));
    expect(all.text).toMatch(/node2 +off +ipmi +2 \(model\)/);
  });

  test('is neither on nor off: wrong usage', async () => {
    const { code, stderr } = await run(['node', 'power', 'node2', 'up'], (_, response) => json(response, {}));
    expect(code).toBe(2);
    expect(stderr).toContain('"up" is neither on nor off');
  });

  test('reads values as JSON where they are', () => {
    expect(pairs(['a=1', 'b=x y', 'c=["p","{node}"]', 'd=', 'e=a=b'])).toEqual({
      a: 1,
      b: 'x y',
      c: ['p', '{node}'],
      d: '',
      e: 'a=b',
    });
    expect(() => pairs(['=1'])).toThrow('is not of the form');
  });
});

describe('drvs node fence and release', () => {
  test('say what is proven', async () => {
    let sent: unknown;
    const { text } = await run(['node', 'fence', 'node2', '--confirmed', '--yes'], (request, response) => {
      sent = JSON.parse(String(request.body));
      json(response, failure);
    });
    expect(sent).toEqual({ confirmed: true });
    expect(text).toMatch(/State: +fenced/);
    expect(text).toContain('2 × timed-out (10.0.0.2:20001)');
  });
});

describe('drvs energy', () => {
  test('shows who drew what, what was saved, and how that is reckoned', async () => {
    const { text } = await run(['energy'], (_, response) => json(response, report));
    expect(text).toContain('42 W; 1 nodes on, 1 off');
    expect(text).toContain('20.0 Wh of 1.52 kWh with all nodes on: 1.50 kWh saved; 25 % measured');
    expect(text).toMatch(/fisica\/aula/);
    expect(text).toContain('saved = …');
  });

  test('writes small energies in watt-hours', () => {
    expect([formatKWh(0), formatKWh(0.05), formatKWh(1.234), formatKWh(123.456)]).toEqual([
      '0.0 Wh',
      '50.0 Wh',
      '1.23 kWh',
      '123.5 kWh',
    ]);
  });
});
