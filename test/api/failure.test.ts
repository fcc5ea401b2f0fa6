import type { NodeFailureView, NodeView } from '@drvs/contracts';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Database } from '../../apps/api/src/database/database.js';
import { type AgentPeer, containerState } from '../support/agent-peer.js';
import { type StartedCluster, startCluster, type TestCluster, until } from '../support/cluster.js';
import { Machine } from '../support/machine.js';

let started: StartedCluster;
let cluster: TestCluster;
let database: Database;
let admin: string;
let tenantId: string;
let agents: AgentPeer[];
let machine: Machine | null;

const WITHIN_MS = 110_000;
const TEST_MS = 240_000;

beforeAll(async () => {
  started = await startCluster();
  ({ cluster, database, tenantId, admin } = started);
});

afterAll(() => started?.stop());

beforeEach(async () => {
  machine = null;
  agents = [await cluster.node('n1'), await cluster.node('n2'), await cluster.node('n3')];
  // Nobody is met at n1, whatever stands there.
  for (const agent of agents) agent.witness = async (target) => ({ ...target, met: 'timed-out' });
});

afterEach(async () => {
  await machine?.remove();
  cluster.stop();
  await cluster.empty('plan', 'operation', 'drvm', 'enrolmentToken', 'node', 'event', 'setting');
});

const mode = (value: string) => cluster.rest(admin, 'PUT', 'failures/settings', { mode: value });
const failure = () => cluster.rest<NodeFailureView>(admin, 'GET', 'nodes/n1/failure');
const node = () => cluster.rest<NodeView>(admin, 'GET', 'nodes/n1');
const kinds = async () =>
  (await database.unrestricted.event.findMany({ where: { node: 'n1' }, orderBy: { id: 'asc' } })).map(
    ({ kind }) => kind,
  );
const reaches = (phase: string) =>
  until(`n1 is ${phase}`, async () => ((await failure()).phase === phase ? failure() : null), WITHIN_MS);

/** The power of n1 is cut without being asked for, and does not come back. */
async function fencedByItself(): Promise<Machine> {
  const mains = await Machine.behind(agents[0]!);
  mains.boots = false;
  await cluster.rest(admin, 'PATCH', 'nodes/n1/power', { driver: 'command', settings: mains.settings() });
  await mode('automatic');
  return mains;
}

/** A DRVM with its home on n1 and a slice on n2. */
async function spreadDrvm(): Promise<string> {
  const drvm = await database.unrestricted.drvm.create({
    data: { name: 'fisica', tenantId, state: 'running' },
  });
  for (const [index, agent] of agents.slice(0, 2).entries()) {
    await database.unrestricted.slice.create({
      data: {
        drvmId: drvm.id,
        tenantId,
        nodeId: agent.nodeId,
        index,
        cpuMilli: 500,
        memoryMiB: 300,
        diskGiB: 1,
        networkMbps: 0,
        host: '127.0.0.1',
        port: 20_000 + index,
        containerState: 'running',
      },
    });
    agent.containers.set(drvm.id, containerState(drvm.id, 1, 'running'));
  }
  return drvm.id;
}

describe('a node that fell silent', () => {
  test(
    'in manual mode is confirmed by the others and waits; the operator confirms that it is off',
    async () => {
      await spreadDrvm();
      agents[0]!.disconnect();
      const lost = await reaches('confirmed');
      expect(lost.reason).toBe('2 of 2 other nodes met nobody there');
      expect(lost.evidence.map(({ by }) => by)).toEqual(expect.arrayContaining(['heartbeat', 'n2', 'n3']));
      const told = await database.unrestricted.event.findFirst({ where: { kind: 'drvm.home-lost' } });
      expect(told).toMatchObject({ drvm: 'fisica', tenant: 'physics', node: 'n1' });

      await expect(cluster.rest(admin, 'POST', 'nodes/n1/fence', {})).rejects.toMatchObject({
        code: 'StateConflict',
        hint: expect.stringContaining('drvs node fence n1 --confirmed'),
      });
      await expect(
        cluster.rest(await cluster.token('auditor'), 'POST', 'nodes/n1/fence', { confirmed: true }),
      ).rejects.toMatchObject({ code: 'NotAllowed' });
      const fenced = await cluster.rest<NodeFailureView>(admin, 'POST', 'nodes/n1/fence', {
        confirmed: true,
      });
      expect(fenced).toMatchObject({ phase: 'fenced' });
      expect(fenced.evidence.at(-1)?.says).toBe('confirmed that it is off');
      // Its files are there: that is told plainly.
      const home = await database.unrestricted.event.findFirst({
        where: { kind: 'drvm.home-lost' },
        orderBy: { id: 'desc' },
      });
      expect(home?.text).toContain('Wait until the node is back, or restore a snapshot elsewhere');

      await agents[0]!.connect();
      const back = await reaches('held-out');
      expect(back.heldUntil).not.toBeNull();
      expect((await node()).state).toBe('draining');
      await cluster.rest(admin, 'POST', 'nodes/n1/release');
      expect((await failure()).phase).toBe('well');
      expect((await node()).state).toBe('up');
      await expect(cluster.rest(admin, 'POST', 'nodes/n1/release')).rejects.toMatchObject({
        code: 'StateConflict',
      });
    },
    TEST_MS,
  );

  test(
    'that another node still reaches is left alone',
    async () => {
      await spreadDrvm();
      agents[2]!.witness = async (target) => ({ ...target, met: 'connected' });
      agents[0]!.disconnect();
      await until(
        'it is said why',
        async () => (await failure()).reason.startsWith('n3 reached it'),
        WITHIN_MS,
      );
      expect((await failure()).phase).toBe('suspect');
      await agents[0]!.connect();
      await reaches('well');
      expect(await kinds()).toContain('node.returned');
    },
    TEST_MS,
  );

  test(
    'while most of the others are silent too is not the one that is taken for lost',
    async () => {
      await spreadDrvm();
      agents[0]!.disconnect();
      agents[1]!.disconnect();
      await until('it is said why', async () => (await failure()).reason.includes('cut off'), WITHIN_MS);
      expect((await failure()).phase).toBe('suspect');
    },
    TEST_MS,
  );

  test(
    'in automatic mode has its power cut and read before anything else is done',
    async () => {
      machine = await fencedByItself();
      await spreadDrvm();
      agents[0]!.disconnect();
      const fenced = await until(
        'it is fenced',
        async () =>
          ['fenced', 'evacuating', 'evacuated'].includes((await failure()).phase) ? failure() : null,
        WITHIN_MS,
      );
      expect(await machine.power()).toBe('off');
      expect(await machine.asked()).toEqual(['off n1']);
      expect(fenced.evidence.find(({ by }) => by === 'power driver')?.says).toContain(
        'the status command says off',
      );
      const order = (await kinds()).filter((kind) =>
        ['node.suspect', 'node.lost', 'node.fencing', 'node.fenced'].includes(kind),
      );
      expect([...new Set(order)]).toEqual(['node.suspect', 'node.lost', 'node.fencing', 'node.fenced']);
    },
    TEST_MS,
  );

  test(
    'in automatic mode has what it had made anew elsewhere by a plan, and comes back closed',
    async () => {
      machine = await fencedByItself();
      // A DRVM that is stopped, with its home on n2: what is made anew of it is its place.
      const drvm = await database.unrestricted.drvm.create({
        data: { name: 'quimica', tenantId, state: 'stopped', wantedState: 'stopped' },
      });
      for (const [index, agent] of [agents[1]!, agents[0]!].entries()) {
        await database.unrestricted.slice.create({
          data: {
            drvmId: drvm.id,
            tenantId,
            nodeId: agent.nodeId,
            index,
            cpuMilli: 500,
            memoryMiB: 300,
            diskGiB: 1,
            networkMbps: 0,
            host: '127.0.0.1',
            port: 20_010 + index,
          },
        });
      }
      agents[0]!.disconnect();
      const done = await reaches('evacuated');
      // Elsewhere: on a node of its own, or with what the DRVM has on another.
      const slices = await database.unrestricted.slice.findMany({
        where: { drvmId: drvm.id },
        select: { cpuMilli: true, node: { select: { name: true } } },
      });
      expect(slices.map(({ node: { name } }) => name)).not.toContain('n1');
      expect(slices.reduce((sum, { cpuMilli }) => sum + cpuMilli, 0)).toBe(1_000);
      const operation = await database.unrestricted.operation.findUniqueOrThrow({
        where: { id: done.operation! },
      });
      expect(operation).toMatchObject({ kind: 'plan.apply', state: 'succeeded', requestedBy: 'user/system' });
      expect((await kinds()).at(-1)).toBe('node.evacuated');

      machine.boots = true;
      await machine.press('on');
      expect((await reaches('held-out')).reason).toBe('it came back after it was fenced');
      expect((await node()).state).toBe('drained');
      // Who asks for it is told why it gets nothing there.
      const asked = { name: 'nueva', tenant: 'physics', cpu: 0.1, memoryMiB: 192, nodes: ['n1'] };
      await expect(cluster.rest(admin, 'POST', 'drvms', asked)).rejects.toMatchObject({
        code: 'InsufficientResources',
        message: expect.stringContaining('held out for coming and going'),
      });
    },
    TEST_MS,
  );

  test(
    'with nothing on it is fenced by nobody who did not ask, and one that is off on purpose is not missed',
    async () => {
      await mode('automatic');
      await database.unrestricted.node.update({
        where: { id: agents[0]!.nodeId },
        data: { wantedState: 'off' },
      });
      agents[0]!.disconnect();
      await until(
        'n1 is silent',
        async () => {
          const row = await database.unrestricted.node.findUniqueOrThrow({
            where: { id: agents[0]!.nodeId },
          });
          return Date.now() - row.lastSeenAt!.getTime() > 14_000;
        },
        WITHIN_MS,
      );
      expect(await failure()).toMatchObject({ phase: 'well', evidence: [] });
    },
    TEST_MS,
  );
});
