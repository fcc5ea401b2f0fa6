import type {
  ClusterPlanView,
  DrvmView,
  NodeView,
  OperationView,
  PlannerSettingsView,
  PlanOutcome,
  ScheduleView,
} from '@drvs/contracts';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Database } from '../../apps/api/src/database/database.js';
import { PlannerLoop } from '../../apps/api/src/plans/planner-loop.js';
import { Lending } from '../../apps/api/src/reconfigure/lending.js';
import { ScheduleClock } from '../../apps/api/src/schedules/schedule-clock.js';
import { SchedulesService } from '../../apps/api/src/schedules/schedules.service.js';
import type { AgentPeer } from '../support/agent-peer.js';
import type { TestApi } from '../support/api.js';
import { type StartedCluster, startCluster, type TestCluster, until } from '../support/cluster.js';
import { Guests, runningDrvm } from '../support/guests.js';
import { Machine } from '../support/machine.js';

/** Each node offers 4 vCPU and 4 GiB. */
let started: StartedCluster;
let api: TestApi;
let cluster: TestCluster;
let database: Database;
let tenantId: string;
let admin: string;
let guests: Guests;
let nodes: AgentPeer[];
let machines: Machine[];

beforeAll(async () => {
  started = await startCluster();
  ({ api, cluster, database, tenantId, admin } = started);
  // What is due, what is planned and what is lent is looked at when a test says so, at the time that it says.
  await api.app.get(ScheduleClock, { strict: false }).stop();
  await api.app.get(PlannerLoop, { strict: false }).stop();
  await api.app.get(Lending, { strict: false }).stop();
});

afterAll(() => started?.stop());

beforeEach(async () => {
  guests = new Guests();
  nodes = [];
  machines = [];
  for (const name of ['node1', 'node2', 'node3']) nodes.push(guests.attach(await cluster.node(name)));
});

afterEach(async () => {
  for (const machine of machines) await machine.remove();
  guests.stop();
  cluster.stop();
  await cluster.empty('schedule', 'plan', 'operation', 'drvm', 'node', 'enrolmentToken', 'event', 'setting');
});

const rest = <T>(method: string, path: string, body?: unknown, token = admin) =>
  cluster.rest<T>(token, method, path, body);
const plan = (body: object) => rest<ClusterPlanView>('POST', 'plans', body);
const ended = (id: string) => rest<OperationView>('GET', `operations/${id}/wait?timeoutSeconds=120`);
const carriedOut = async ({ id }: ClusterPlanView) =>
  ended((await rest<OperationView>('POST', `plans/${id}/apply`)).id);
const outcomeOf = ({ result }: OperationView) => result as PlanOutcome;
const drvm = (name: string, cpu: number, memoryMiB: number, on: string[]) =>
  runningDrvm(cluster, admin, { name, tenant: 'physics', cpu, memoryMiB, nodes: on });
const stateOf = async (name: string) => (await rest<NodeView>('GET', `nodes/${name}`)).state;
const set = (change: object) => rest<PlannerSettingsView>('PATCH', 'planner', change);
const actions = ({ steps }: ClusterPlanView) => steps.map(({ action }) => action);
const given = async () =>
  Object.fromEntries(
    (await rest<{ items: DrvmView[] }>('GET', 'drvms')).items.map(({ name, nodes: on }) => [
      name,
      Object.fromEntries(on.map(({ node, cpu }) => [node, cpu])),
    ]),
  );

/** Nodes with a mains switch that the planners may use. */
async function switchable(...agents: AgentPeer[]): Promise<void> {
  for (const agent of agents) {
    const machine = await Machine.behind(agent);
    machines.push(machine);
    await rest('PATCH', `nodes/${agent.name}/power`, {
      driver: 'command',
      settings: machine.settings(),
      model: { bootSeconds: 1 },
    });
  }
}

describe('consolidation', () => {
  test('empties nodes and switches them off, and on again when demand rises', async () => {
    await switchable(...nodes);
    const [a, b] = [
      await drvm('aula', 0.5, 256, ['node2']),
      await drvm('banco', 0.5, 512, ['node2', 'node3']),
    ];
    guests.run(a, 1, 'node2', { state: 'waiting' });
    guests.run(b, 2, 'node3', { state: 'waiting' });
    const early = await plan({ kind: 'consolidate' });
    expect(early.steps).toEqual([]);
    expect(early.rejected.map(({ rule }) => rule)).toContain('not-long-enough');
    await set({ policy: { coldHoldSeconds: 0, coolDownSeconds: 0, power: { headroomKept: 0.1 } } });
    const made = await plan({ kind: 'consolidate' });
    expect(actions(made).filter((action) => action === 'power-off')).toHaveLength(2);
    expect(made.gain.nodesOnAfter).toBe(1);
    expect(made.gain.wattsAfter).toBeLessThan(made.gain.wattsBefore);
    const done = await carriedOut(made);
    expect(done.error).toBeNull();
    expect(done.state).toBe('succeeded');
    const off = outcomeOf(done).nodes.flatMap(({ node, change }) => (change === 'off' ? [node] : []));
    expect(off).toHaveLength(2);
    for (const name of off) expect(await stateOf(name)).toBe('off');
    const left = ['node1', 'node2', 'node3'].find((name) => !off.includes(name))!;
    expect(await given()).toEqual({ aula: { [left]: 0.5 }, banco: { [left]: 0.5 } });
    expect([...Object.values(guests.places(a)), ...Object.values(guests.places(b))]).toEqual([left, left]);

    expect((await plan({ kind: 'power' })).steps).toEqual([]);
    await ended((await rest<OperationView>('PATCH', 'drvms/aula', { cpu: 3.2 })).id);
    const wake = await plan({ kind: 'power' });
    expect(actions(wake)).toContain('power-on');
    const woken = await carriedOut(wake);
    expect(woken).toMatchObject({ state: 'succeeded', error: null });
    const [on] = outcomeOf(woken).nodes;
    expect(on).toMatchObject({ change: 'on' });
    expect(await stateOf(on!.node)).toBe('up');
  }, 240_000);

  test('opens a node again that it could not switch off, and says so', async () => {
    await switchable(...nodes);
    await set({ policy: { coldHoldSeconds: 0, coolDownSeconds: 0, power: { nodesMin: 2 } } });
    const made = await plan({ kind: 'consolidate' });
    expect(actions(made)).toEqual(['cordon', 'power-off']);
    const node = made.steps.flatMap((step) => ('node' in step ? [step.node] : []))[0]!;
    await drvm('nueva', 0.5, 256, [node]);
    await expect(carriedOut(made))
      .rejects.toMatchObject({ code: 'StaleGeneration' })
      .catch(async () => {
        const done = await ended((await rest<{ items: OperationView[] }>('GET', 'operations')).items[0]!.id);
        expect(outcomeOf(done).skipped[0]?.reason).toContain('not empty');
      });
    expect(await stateOf(node)).toBe('up');
  });

  test('is refused when it is switched off, and leaves alone what nothing can switch on again', async () => {
    await set({ modes: { consolidate: 'off' } });
    await expect(plan({ kind: 'consolidate' })).rejects.toMatchObject({
      code: 'StateConflict',
      hint: expect.stringContaining('drvs policy set consolidate=manual'),
    });
    await set({ modes: { consolidate: 'manual' }, policy: { coldHoldSeconds: 0 } });
    const made = await plan({ kind: 'consolidate' });
    expect(made.steps).toEqual([]);
    expect(made.rejected).toContainEqual(
      expect.objectContaining({ rule: 'no-power-control', when: 'never', advice: expect.anything() }),
    );
  });
});

describe('reallocation', () => {
  test('leaves CPU to lending while that is on, and else lends what is free to who wants more, up to its ceiling', async () => {
    const id = await drvm('aula', 1, 512, ['node1']);
    await database.unrestricted.slice.updateMany({ where: { drvmId: id }, data: { ceilingCpuMilli: 3_000 } });
    for (const pid of [1, 2, 3, 4]) guests.run(id, pid, 'node1', { cpuMs: 0 });
    const left = await plan({ kind: 'reallocate' });
    expect(left.steps).toEqual([]);
    expect(left.rejected).toContainEqual(
      expect.objectContaining({ what: 'aula@node1', rule: 'lending', advice: expect.anything() }),
    );
    await rest('PUT', 'settings/lending.enabled', { value: false });
    const made = await plan({ kind: 'reallocate' });
    expect(made.steps).toEqual([
      expect.objectContaining({
        action: 'resize-slice',
        drvm: 'aula',
        node: 'node1',
        before: expect.objectContaining({ cpu: 1 }),
        after: expect.objectContaining({ cpu: 3 }),
      }),
    ]);
    const done = await carriedOut(made);
    expect(done).toMatchObject({ state: 'succeeded', error: null });
    const limits = nodes[0]!.specs.get(id)!.limits;
    expect(limits.cpuMilli).toBe(3_000);
    expect(outcomeOf(done).resized).toEqual([expect.objectContaining({ drvm: 'aula', node: 'node1' })]);
    expect(await given()).toEqual({ aula: { node1: 1 } });
    await rest('DELETE', 'settings/lending.enabled');
  });
});

describe('the planner by itself', () => {
  const round = (atMs = Date.now()) => api.app.get(PlannerLoop, { strict: false }).round(atMs, true);
  const planned = () =>
    database.unrestricted.operation.findMany({ where: { kind: 'plan.apply' }, orderBy: { id: 'asc' } });

  test('acts only where it is told to, inside its windows, and never on what a plan is at already', async () => {
    const id = await drvm('fisica', 3, 1536, ['node1', 'node2', 'node3']);
    guests.run(id, 1, 'node1');
    guests.run(id, 2, 'node1');
    await round();
    expect(await planned()).toEqual([]);
    const quiet = { kinds: ['balance'], effect: 'quiet', from: '08:00', to: '18:00', timeZone: 'UTC' };
    await set({ modes: { balance: 'automatic' }, windows: [quiet] });
    await round(Date.UTC(2026, 0, 7, 12, 0));
    expect(await planned()).toEqual([]);
    await round(Date.UTC(2026, 0, 7, 20, 0));
    const [first] = await planned();
    expect(first).toMatchObject({ requestedBy: 'user/planner', subject: 'plan/balance' });
    expect(await ended(first!.id)).toMatchObject({ state: 'succeeded' });
    const { items } = await rest<{ items: ClusterPlanView[] }>('GET', 'plans');
    expect(items.map(({ origin }) => origin)).toEqual(['automatic']);
    // Nothing more to do: no further plan is kept.
    await round(Date.UTC(2026, 0, 7, 20, 1));
    expect(await planned()).toHaveLength(1);
    expect((await rest<{ items: unknown[] }>('GET', 'plans')).items).toHaveLength(1);
  });

  test('has settings of which each value is checked, and a contradiction is refused', async () => {
    const shown = await rest<PlannerSettingsView>('GET', 'planner');
    expect(shown).toMatchObject({
      modes: { balance: 'manual', consolidate: 'manual', reallocate: 'manual', power: 'manual' },
      policy: { hotUtilisation: 0.81, power: { nodesMin: 1 } },
      changed: [],
      windows: [],
    });
    const after = await set({ policy: { hotUtilisation: 0.9, power: { nodesMin: 2 } } });
    expect(after.changed).toEqual(['hotUtilisation', 'power.nodesMin']);
    for (const [change, message] of [
      [{ policy: { coldUtilisation: 0.95 } }, 'contradicts itself'],
      [{ policy: { power: { headroomLeast: 0.5 } } }, 'contradicts itself'],
      [{ policy: { hotUtilisation: -1 } }, 'from 0 to 1'],
      [{ policy: { hotUtilisation: 1e300 } }, 'from 0 to 1'],
      [{ policy: { colour: 3 } }, 'no colour'],
      [{ modes: { balance: 'sometimes' } }, ''],
      [{ windows: [{ kinds: ['balance'], effect: 'only', from: '25:00', to: '06:00' }] }, 'HH:MM'],
      [
        { windows: [{ kinds: ['balance'], effect: 'only', from: '22:00', to: '06:00', timeZone: 'Mars' }] },
        'no such time zone',
      ],
      [
        {
          windows: [
            { kinds: ['balance'], effect: 'only', from: '10:00', to: '12:00' },
            { kinds: ['balance'], effect: 'quiet', from: '09:00', to: '13:00' },
          ],
        },
        'contradicts itself',
      ],
    ] as const) {
      await expect(set(change)).rejects.toMatchObject({
        code: 'InvalidInput',
        message: expect.stringContaining(message),
      });
    }
    expect((await set({ policy: { hotUtilisation: null, power: { nodesMin: null } } })).changed).toEqual([]);
    const member = await cluster.token('member', tenantId);
    await expect(rest('PATCH', 'planner', {}, member)).rejects.toMatchObject({ code: 'NotAllowed' });
    await expect(rest('GET', 'planner', undefined, member)).rejects.toMatchObject({ code: 'NotAllowed' });
  });
});

describe('what was on a node that is lost', () => {
  test('is made anew elsewhere once it is proven that the node has stopped, and not before', async () => {
    const id = await drvm('fisica', 1, 1024, ['node1', 'node3']);
    const lost = nodes[2]!;
    const { homeIndex } = await database.unrestricted.drvm.findUniqueOrThrow({ where: { id } });
    const home = await database.unrestricted.slice.findFirstOrThrow({
      where: { drvmId: id, index: homeIndex },
    });
    expect(home.nodeId).not.toBe(lost.nodeId);
    await expect(plan({ kind: 'evacuate', node: 'node3' })).rejects.toMatchObject({ code: 'StateConflict' });
    lost.disconnect();
    await until('it is down', async () => {
      await database.unrestricted.node.update({
        where: { id: lost.nodeId },
        data: { lastSeenAt: new Date(0) },
      });
      return (await stateOf('node3')) === 'down';
    });
    const unproven = await plan({ kind: 'evacuate', node: 'node3' });
    expect(unproven.steps).toEqual([]);
    expect(unproven.rejected).toContainEqual(expect.objectContaining({ rule: 'not-fenced' }));
    await database.unrestricted.nodeFailure.upsert({
      where: { nodeId: lost.nodeId },
      create: { nodeId: lost.nodeId, phase: 'fenced' },
      update: { phase: 'fenced' },
    });
    const made = await plan({ kind: 'evacuate', node: 'node3' });
    expect(actions(made)).toEqual(['rebuild-slice']);
    expect(await carriedOut(made)).toMatchObject({ state: 'succeeded', error: null });
    const after = (await given()).fisica!;
    expect(Object.keys(after)).not.toContain('node3');
    expect(Object.values(after).reduce((sum, cpu) => sum + cpu, 0)).toBe(1);
  });
});

describe('a schedule', () => {
  const runDue = (atMs: number) => api.app.get(SchedulesService, { strict: false }).runDue(atMs);
  const show = (name: string) => rest<ScheduleView>('GET', `schedules/${name}`);

  test('runs its plan at its times, each once, and tells what came of it', async () => {
    await drvm('aula', 0.5, 256, ['node2']);
    const made = await rest<ScheduleView>('POST', 'schedules', {
      name: 'mantenimiento',
      cron: '0 3 * * 6',
      timeZone: 'America/Argentina/Buenos_Aires',
      plan: { kind: 'drain', node: 'node2' },
    });
    expect(made.nextRuns).toHaveLength(5);
    for (const run of made.nextRuns) expect(run).toMatch(/T06:00:00\.000Z$/);
    const due = Date.parse(made.nextRuns[0]!);
    await runDue(due - 1);
    expect((await show('mantenimiento')).lastRunAt).toBeNull();
    await Promise.all([runDue(due + 1_000), runDue(due + 1_000)]);
    const ran = await show('mantenimiento');
    expect(ran).toMatchObject({ lastOutcome: 'started', lastDetail: 'drain of node2' });
    expect(ran.nextRuns[0]).toBe(made.nextRuns[1]);
    expect(await ended(ran.lastOperation!)).toMatchObject({
      state: 'succeeded',
      requestedBy: 'user/schedule-mantenimiento',
    });
    expect(await database.unrestricted.operation.count({ where: { kind: 'plan.apply' } })).toBe(1);
    // The clock is put back: what was run is not run again.
    await runDue(due - 3_600_000);
    await runDue(due + 2_000);
    expect(await database.unrestricted.operation.count({ where: { kind: 'plan.apply' } })).toBe(1);
  });

  test('passes over what was missed, or makes up for it once, as it was told', async () => {
    const ids = { skip: 'a', 'run-once': 'b' } as const;
    for (const [missed, name] of Object.entries(ids)) {
      await rest('POST', 'schedules', { name, cron: '0 3 * * *', plan: { kind: 'balance' }, missed });
    }
    const first = Date.parse((await show('a')).nextRuns[0]!);
    const muchLater = first + 9 * 86_400_000 + 7 * 3_600_000;
    await runDue(muchLater);
    expect(await show('a')).toMatchObject({ lastOutcome: 'missed', lastRunAt: null });
    expect(await show('b')).toMatchObject({
      lastOutcome: 'nothing-to-do',
      lastDetail: 'balance: nothing to do',
    });
    for (const name of ['a', 'b'])
      expect(Date.parse((await show(name)).nextRuns[0]!)).toBe(first + 10 * 86_400_000);
    const told = (await database.unrestricted.event.findMany()).map(({ kind }) => kind);
    expect(told).toEqual(expect.arrayContaining(['schedule.missed', 'schedule.ran']));
    // The clock had been wrong by days: it begins anew from now.
    await runDue(first - 3_600_000);
    expect(Date.parse((await show('b')).nextRuns[0]!)).toBe(first);
  });

  test('is checked when it is made, may be stopped, changed, run and deleted', async () => {
    const body = { name: 'noche', cron: '0 2 * * *', plan: { kind: 'consolidate' } };
    for (const [change, message] of [
      [{ cron: 'at night' }, 'no expression of cron'],
      [{ cron: '99 * * * *' }, 'no expression of cron'],
      [{ timeZone: 'Mars/Olympus' }, 'no time zone'],
      [{ name: 'No Name' }, 'a name is of'],
      [{ plan: { kind: 'undo' } }, ''],
      [{ plan: { kind: 'drain' } }, ''],
    ] as const) {
      await expect(rest('POST', 'schedules', { ...body, ...change })).rejects.toMatchObject({
        code: 'InvalidInput',
        message: expect.stringContaining(message),
      });
    }
    await expect(
      rest('POST', 'schedules', { ...body, plan: { kind: 'drain', node: 'nowhere' } }),
    ).rejects.toMatchObject({ code: 'NotFound' });
    await rest('POST', 'schedules', body);
    await expect(rest('POST', 'schedules', body)).rejects.toMatchObject({ code: 'AlreadyExists' });
    const stopped = await rest<ScheduleView>('PATCH', 'schedules/noche', { enabled: false });
    expect(stopped).toMatchObject({ enabled: false, nextRuns: [], generation: 2 });
    await runDue(Date.now() + 10 * 86_400_000);
    expect((await show('noche')).lastRunAt).toBeNull();
    const resumed = await rest<ScheduleView>('PATCH', 'schedules/noche', {
      enabled: true,
      cron: '30 2 * * *',
    });
    expect(resumed.nextRuns[0]).toMatch(/T02:30:00/);
    expect(await rest<ScheduleView>('POST', 'schedules/noche/run')).toMatchObject({
      lastOutcome: 'nothing-to-do',
    });
    await set({ modes: { consolidate: 'off' } });
    expect(await rest<ScheduleView>('POST', 'schedules/noche/run')).toMatchObject({
      lastOutcome: 'refused',
      lastDetail: expect.stringContaining('switched off'),
    });
    const member = await cluster.token('tenant-admin', tenantId);
    await expect(rest('GET', 'schedules', undefined, member)).rejects.toMatchObject({ code: 'NotAllowed' });
    await rest('DELETE', 'schedules/noche');
    await expect(show('noche')).rejects.toMatchObject({ code: 'NotFound' });
  });
});

test('GraphQL does all of it by the same services', async () => {
  const ask = async (query: string) => {
    const response = await fetch(`${api.url}/graphql`, {
      method: 'POST',
      headers: { authorization: `Bearer ${admin}`, 'content-type': 'application/json' },
      body: JSON.stringify({ query }),
    });
    const { data, errors } = (await response.json()) as {
      data: Record<string, { id: string; kind: string }>;
      errors?: unknown;
    };
    expect(errors).toBeUndefined();
    return data;
  };
  const id = await drvm('fisica', 3, 1536, ['node1', 'node2', 'node3']);
  guests.run(id, 1, 'node1');
  guests.run(id, 2, 'node1');
  const made = await ask(
    `mutation { makePlan(kind: "balance") { id kind origin steps { action phase drvm pid from to reason }
       gain { summary nodesOnAfter } cost { moves } rejected { what rule when advice } } }`,
  );
  const planId = made.makePlan!.id;
  expect(made.makePlan).toMatchObject({ kind: 'balance', origin: 'request', cost: { moves: 1 } });
  const applied = await ask(`mutation { applyPlan(id: "${planId}") { id kind } }`);
  expect((await ended(applied.applyPlan!.id)).state).toBe('succeeded');
  const back = await ask(`mutation { undoPlan(id: "${planId}") { kind steps { action from to } } }`);
  expect(back.undoPlan).toMatchObject({ kind: 'undo', steps: [{ action: 'migrate-process', to: 'node1' }] });
  const drained = await ask('mutation { drainNode(name: "node3") { id } }');
  expect((await ended(drained.drainNode!.id)).state).toBe('succeeded');
  const restored = await ask('mutation { restoreNodeTo(name: "node3") { id kind } }');
  expect((await ended(restored.restoreNodeTo!.id)).state).toBe('succeeded');
  expect(await ask('mutation { restoreNode(name: "node3") { name state } }')).toMatchObject({
    restoreNode: { state: 'up' },
  });
  expect(
    await ask(`mutation { changePlanner(input: { modes: [{ kind: "balance", mode: "automatic" }],
      policy: [{ name: "power.nodesMin", value: 2 }] }) { modes { kind mode } policy { name value isDefault } } }`),
  ).toMatchObject({
    changePlanner: {
      modes: expect.arrayContaining([{ kind: 'balance', mode: 'automatic' }]),
      policy: expect.arrayContaining([{ name: 'power.nodesMin', value: 2, isDefault: false }]),
    },
  });
  expect(
    await ask(`mutation { createSchedule(input: { name: "noche", cron: "0 2 * * *",
      plan: { kind: "drain", node: "node1" } }) { name kind node nextRuns } }`),
  ).toMatchObject({ createSchedule: { name: 'noche', kind: 'drain', node: 'node1' } });
  expect(
    await ask('{ schedules(first: 5) { nodes { name missed } } plannerSettings { windows { from } } }'),
  ).toMatchObject({
    schedules: { nodes: [{ name: 'noche', missed: 'skip' }] },
    plannerSettings: { windows: [] },
  });
  expect(await ask('mutation { deleteSchedule(name: "noche") }')).toEqual({ deleteSchedule: 'noche' });
});
