import type {
  EnergyReportView,
  NodePowerView,
  NodeView,
  OperationView,
  PowerReadingView,
} from '@drvs/contracts';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Database } from '../../apps/api/src/database/database.js';
import { EnergySampler } from '../../apps/api/src/energy/energy-sampler.js';
import { NodeDraws } from '../../apps/api/src/energy/node-draws.js';
import type { AgentPeer } from '../support/agent-peer.js';
import { containerState } from '../support/agent-peer.js';
import type { TestApi } from '../support/api.js';
import { type StartedCluster, startCluster, type TestCluster, until } from '../support/cluster.js';
import { Machine } from '../support/machine.js';

let started: StartedCluster;
let api: TestApi;
let cluster: TestCluster;
let database: Database;
let admin: string;
let tenantId: string;
let agent: AgentPeer;
let machine: Machine;

beforeAll(async () => {
  started = await startCluster();
  ({ api, cluster, database, tenantId, admin } = started);
});

afterAll(() => started?.stop());

beforeEach(async () => {
  agent = await cluster.node('node1');
  machine = await Machine.behind(agent);
});

afterEach(async () => {
  await machine?.remove();
  cluster.stop();
  await cluster.empty('operation', 'drvm', 'enrolmentToken', 'node', 'event', 'demandHour');
});

const WITHIN_MS = 60_000;
const power = (token = admin) => cluster.rest<NodePowerView>(token, 'GET', 'nodes/node1/power');
const set = (body: unknown, token = admin) =>
  cluster.rest<NodePowerView>(token, 'PATCH', 'nodes/node1/power', body);
const turn = (to: 'on' | 'off', more: object = {}) =>
  cluster.rest<OperationView>(admin, 'POST', 'nodes/node1/power', { power: to, ...more });
const node = () => cluster.rest<NodeView>(admin, 'GET', 'nodes/node1');
const useMachine = () => set({ driver: 'command', settings: machine.settings() });
const events = async () =>
  (await database.unrestricted.event.findMany({ orderBy: { id: 'asc' } })).map(
    ({ kind, text }) => `${kind}: ${text}`,
  );

async function ended(operation: OperationView): Promise<OperationView> {
  return until(
    `the end of ${operation.kind}`,
    async () => {
      const view = await cluster.rest<OperationView>(admin, 'GET', `operations/${operation.id}`);
      return ['succeeded', 'failed', 'cancelled', 'compensated'].includes(view.state) && view;
    },
    WITHIN_MS,
  );
}

async function drain(): Promise<void> {
  await database.unrestricted.node.update({ where: { id: agent.nodeId }, data: { wantedState: 'drained' } });
}

async function holdSlice(): Promise<string> {
  const drvm = await database.unrestricted.drvm.create({
    data: { name: 'fisica', tenantId, state: 'running' },
  });
  await database.unrestricted.slice.create({
    data: {
      drvmId: drvm.id,
      tenantId,
      nodeId: agent.nodeId,
      index: 0,
      cpuMilli: 1_000,
      memoryMiB: 512,
      diskGiB: 1,
      networkMbps: 0,
      containerState: 'running',
    },
  });
  agent.containers.set(drvm.id, containerState(drvm.id, 1, 'running'));
  return drvm.id;
}

describe('switching a node', () => {
  test('off and on again ends with the agent joined, and is told', async () => {
    await useMachine();
    await drain();
    const off = await ended(await turn('off'));
    expect(off).toMatchObject({ state: 'succeeded', result: { node: 'node1', power: 'off' } });
    expect(await machine.power()).toBe('off');
    expect((await node()).state).toBe('off');
    expect(await power()).toMatchObject({ state: 'off', deadline: null, driver: 'command' });
    expect((await ended(await turn('off'))).state).toBe('succeeded');

    const on = await ended(await turn('on'));
    expect(on).toMatchObject({ state: 'succeeded', result: { power: 'on' } });
    expect(agent.isConnected).toBe(true);
    expect(await power()).toMatchObject({ state: 'on', failures: 0 });
    // It was drained by hand, and so it stays until it is restored.
    expect((await node()).state).toBe('drained');
    expect(await machine.asked()).toEqual(['off node1', 'on node1']);
    const told = (await events()).filter((line) => line.startsWith('node.power'));
    expect(told).toEqual([
      expect.stringContaining('node.power-set: token/'),
      expect.stringContaining('node.powering-off: token/'),
      'node.powered-off: node1 is off: its driver reads that it is off',
      expect.stringContaining('node.powering-on: token/'),
      expect.stringContaining(
        'node.powered-on: node1 is on: its agent is connected and has told what it offers; it takes nothing new',
      ),
    ]);
  });

  test('on with `open` lets it take new work at once', async () => {
    await useMachine();
    await drain();
    await ended(await turn('off'));
    await ended(await turn('on', { open: true }));
    expect((await node()).state).toBe('up');
  });

  test('off is refused while it takes new work, and while a DRVM has something there', async () => {
    await useMachine();
    await expect(turn('off')).rejects.toMatchObject({
      code: 'StateConflict',
      hint: 'Drain it first: drvs node drain node1',
    });
    await holdSlice();
    await drain();
    await expect(turn('off')).rejects.toThrow('node1 is not empty: fisica has something there');
    expect(await machine.asked()).toEqual([]);
    expect(await power()).toMatchObject({ state: 'on' });
  });

  test('off by force needs the name of the node again', async () => {
    await useMachine();
    await holdSlice();
    await expect(turn('off', { force: 'node2' })).rejects.toMatchObject({
      code: 'InvalidInput',
      field: 'force',
    });
    expect((await ended(await turn('off', { force: 'node1' }))).state).toBe('succeeded');
    expect((await node()).state).toBe('off');
  });

  test('without a driver is refused with what to do', async () => {
    await expect(turn('off')).rejects.toMatchObject({
      code: 'StateConflict',
      hint: expect.stringContaining('drvs node power set node1 --driver'),
    });
    await expect(cluster.rest(admin, 'POST', 'nodes/node1/power/test')).rejects.toMatchObject({
      code: 'StateConflict',
    });
  });

  test('by two at once: the second is told of the first', async () => {
    await useMachine();
    await drain();
    machine.boots = false;
    await ended(await turn('off'));
    const first = await turn('on');
    await expect(turn('on')).rejects.toMatchObject({
      code: 'OperationUnderWay',
      hint: expect.stringContaining(first.id),
    });
    machine.boots = true;
    expect((await ended(first)).state).toBe('succeeded');
  });

  test('one that somebody switches on by hand is noticed', async () => {
    await useMachine();
    await drain();
    await ended(await turn('off'));
    await machine.press('on');
    await until('it has joined', async () => (await power()).state === 'on', WITHIN_MS);
    expect((await node()).state).toBe('drained');
  });

  test('with a relay that sticks is tried again, and goes on once it is mended', async () => {
    await useMachine();
    await drain();
    await machine.breakSwitch();
    const operation = await turn('off');
    await until(
      'the failure is told',
      async () => (await power()).reason.includes('the relay sticks'),
      WITHIN_MS,
    );
    await machine.mendSwitch();
    expect((await ended(operation)).state).toBe('succeeded');
  });

  test('is gone on with by whoever looks, when the one who asked is gone', async () => {
    await useMachine();
    await drain();
    await database.unrestricted.nodePower.update({
      where: { nodeId: agent.nodeId },
      data: { state: 'powering-off', since: new Date(), lookedAt: new Date(), attempts: 0, leftMs: null },
    });
    await until('it is off', async () => (await power()).state === 'off', WITHIN_MS);
    expect(await machine.asked()).toEqual(['off node1']);
  });

  test('by wake-on-LAN: the agent shuts the host down, and its silence counts', async () => {
    await set({
      driver: 'wol',
      settings: { mac: '52:54:00:12:34:56', broadcast: '127.0.0.1', port: 40_009 },
    });
    await drain();
    const refused = await ended(await turn('off'));
    expect(refused).toMatchObject({ state: 'failed', error: { code: 'PowerFailed' } });
    expect(refused.error?.message).toContain('this agent may not switch its host off');
    agent.shutdown = () => machine.press('off');
    await until('it is failed, not on', async () => (await power()).state === 'failed', WITHIN_MS);
    const off = await ended(await turn('off'));
    expect(off.state).toBe('succeeded');
    expect((await power()).reason).toContain('nothing can read its power');
  });
});

describe('how a node is switched', () => {
  test('keeps secrets sealed, shows none, and forgets them with their driver', async () => {
    const settings = { host: '192.0.2.9', user: 'admin' };
    const after = await set({ driver: 'ipmi', settings, secret: { password: 'hunter2' } });
    expect(after).toMatchObject({ driver: 'ipmi', hasSecret: true, settings: { ...settings, port: 623 } });
    expect(JSON.stringify(after)).not.toContain('hunter2');
    const row = await database.unrestricted.nodePower.findUniqueOrThrow({ where: { nodeId: agent.nodeId } });
    expect(Buffer.from(row.secret!).toString('latin1')).not.toContain('hunter2');
    const audit = await database.unrestricted.auditEntry.findMany({
      where: { action: 'node.power-set' },
      orderBy: { id: 'asc' },
    });
    expect(JSON.stringify(audit.map(({ details }) => details))).not.toContain('hunter2');
    expect(audit.at(-1)?.details).toMatchObject({ secret: 'set' });
    expect(await useMachine()).toMatchObject({ driver: 'command', hasSecret: false });
  });

  test('is refused when settings do not fit the driver, each named', async () => {
    await expect(set({ driver: 'wol', settings: { mac: 'nonsense' } })).rejects.toMatchObject({
      code: 'InvalidInput',
      field: 'settings.mac',
    });
    await expect(set({ driver: 'ipmi', settings: { host: '-x; rm', user: 'a' } })).rejects.toMatchObject({
      field: 'settings.host',
    });
    await expect(
      set({ driver: 'redfish', settings: { host: 'bmc', user: 'a', colour: 1 } }),
    ).rejects.toMatchObject({
      code: 'InvalidInput',
    });
    await expect(set({ model: { idleWatts: -1 } })).rejects.toMatchObject({ field: 'model.idleWatts' });
  });

  test('is for supra-administrators; auditors may look, departments may not', async () => {
    const auditor = await cluster.token('auditor');
    const member = await cluster.token('member', tenantId);
    expect((await power(auditor)).node).toBe('node1');
    await expect(set({ automatic: false }, auditor)).rejects.toMatchObject({ code: 'NotAllowed' });
    await expect(power(member)).rejects.toMatchObject({ code: 'NotAllowed' });
    await expect(
      cluster.rest(await cluster.token('tenant-admin', tenantId), 'POST', 'nodes/node1/power', {
        power: 'off',
      }),
    ).rejects.toMatchObject({ code: 'NotAllowed' });
  });

  test('can be tried without switching anything', async () => {
    await useMachine();
    await machine.draws(87.5);
    const reading = await cluster.rest<PowerReadingView>(admin, 'POST', 'nodes/node1/power/test');
    expect(reading).toMatchObject({ node: 'node1', driver: 'command', power: 'on', watts: 87.5 });
    expect(await machine.asked()).toEqual([]);
  });

  test('is the same over GraphQL', async () => {
    const ask = async (query: string): Promise<unknown> => {
      const response = await fetch(`${api.url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${admin}` },
        body: JSON.stringify({ query }),
      });
      return ((await response.json()) as { data: unknown }).data;
    };
    const settings = JSON.stringify(JSON.stringify(machine.settings()));
    expect(
      await ask(
        `mutation { setNodePower(node: "node1", driver: "command", settings: ${settings}) { driver automatic } }`,
      ),
    ).toEqual({ setNodePower: { driver: 'command', automatic: true } });
    expect(await ask('mutation { testNodePower(node: "node1") { power } }')).toEqual({
      testNodePower: { power: 'on' },
    });
    expect(await ask('{ power { node state driver } energy { now { nodesOn } formula } }')).toMatchObject({
      power: [{ node: 'node1', state: 'on', driver: 'command' }],
      energy: { now: { nodesOn: 1 } },
    });
    await drain();
    const { switchNodePower } = (await ask(
      'mutation { switchNodePower(node: "node1", power: "off") { id kind } }',
    )) as {
      switchNodePower: OperationView;
    };
    expect((await ended(switchNodePower)).state).toBe('succeeded');
  });
});

describe('energy', () => {
  const report = (token = admin) => cluster.rest<EnergyReportView>(token, 'GET', 'energy');
  const sampler = () => api.app.get(EnergySampler, { strict: false });

  test('is added up by hours, divided over DRVMs, and compared with all nodes on', async () => {
    await useMachine();
    await set({ model: { idleWatts: 100, fullWatts: 200, offWatts: 5 } });
    await holdSlice();
    const now = Date.now();
    await sampler().sample(30_000, now);
    const before = await report();
    expect(before.nodes).toMatchObject([{ node: 'node1', state: 'on', source: 'model' }]);
    expect(before.month.kWh).toBeGreaterThan((100 * 30) / 3.6e6 - 1e-9);
    expect(before.month.savedKWh).toBe(0);
    expect(before.drvms).toMatchObject([{ drvm: 'fisica', tenant: 'physics' }]);
    expect(before.tenants).toMatchObject([{ tenant: 'physics' }]);
    const shared = before.drvms[0]!.monthKWh + before.unallocatedKWh;
    expect(shared).toBeCloseTo(before.month.kWh, 6);

    const own = await report(await cluster.token('member', tenantId));
    expect(own).toMatchObject({ nodes: [], drvms: [{ drvm: 'fisica' }], unallocatedKWh: 0 });

    await ended(await turn('off', { force: 'node1' }));
    await sampler().sample(3_600_000, now);
    const after = await report();
    expect(after.now).toEqual({ watts: 5, nodesOn: 0, nodesOff: 1 });
    expect(after.month.savedKWh).toBeGreaterThan(0.094);
    expect(after.month.savedKWh).toBeLessThan(0.0951);
    expect(after.month.allOnKWh - after.month.savedKWh).toBeCloseTo(after.month.kWh, 5);
    expect(after.nodes[0]).toMatchObject({ state: 'off', watts: 5 });
  });

  test('is measured where an agent counts, with the rest of the machine added to what a processor counts', async () => {
    await set({ model: { idleWatts: 50, fullWatts: 60, restWatts: 10 } });
    let joules = 0;
    agent.energy = { source: 'rapl', joules };
    const beats = setInterval(() => {
      joules += 3;
      agent.energy = { source: 'rapl', joules };
    }, 100);
    try {
      const draws = api.app.get(NodeDraws, { strict: false });
      const seen = await until(
        'a measured figure',
        async () => {
          const { nodes } = await draws.look();
          return nodes[0]?.source === 'rapl' && nodes[0];
        },
        WITHIN_MS,
      );
      // 30 W of the processor, as well as a loaded machine keeps such time, and 10 W of the rest.
      expect(seen.watts).toBeGreaterThan(10);
      expect(seen.isMeasured).toBe(true);
    } finally {
      clearInterval(beats);
    }
  });

  test('tells what is expected, and from what', async () => {
    const hour = 3_600_000;
    const now = Math.floor(Date.now() / hour) * hour;
    await database.unrestricted.demandHour.createMany({
      data: Array.from({ length: 168 }, (_, back) => ({
        hour: new Date(now - (back + 1) * hour),
        seconds: 3_600,
        milliSeconds: 3_600 * 2_000,
        peakMilli: 2_000,
      })),
    });
    // What it read of the past a moment ago is good for some minutes.
    const { forecast } = await report();
    expect(forecast).toHaveLength(12);
    for (const { cpu, basis } of forecast) {
      expect(['same-hour-of-week', 'present']).toContain(basis);
      expect(cpu).toBeGreaterThanOrEqual(0);
    }
  });

  test('says what could be switched off, and why the rest could not', async () => {
    const advice = await cluster.rest<{
      recommendations: unknown[];
      rejected: { what: string; reason: string }[];
    }>(admin, 'GET', 'energy/recommendations');
    expect(advice.recommendations).toEqual([]);
    expect(advice.rejected).toMatchObject([{ what: 'node1' }]);
  });
});
