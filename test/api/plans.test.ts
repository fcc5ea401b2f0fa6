import type {
  ClusterPlanView,
  DrvmRulesView,
  DrvmView,
  NodeView,
  OperationView,
  PlanOutcome,
} from '@drvs/contracts';
import { DrvsError } from '@drvs/contracts';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Database } from '../../apps/api/src/database/database.js';
import type { AgentPeer } from '../support/agent-peer.js';
import { ApiClient } from '../support/api.js';
import { type StartedCluster, startCluster, type TestCluster, until } from '../support/cluster.js';
import { Guests, runningDrvm } from '../support/guests.js';

/** Each node offers 4 vCPU and 4 GiB. */
let started: StartedCluster;
let cluster: TestCluster;
let database: Database;
let tenantId: string;
let admin: string;
let guests: Guests;
let nodes: AgentPeer[];

beforeAll(async () => {
  started = await startCluster();
  ({ cluster, database, tenantId, admin } = started);
});

afterAll(() => started?.stop());

beforeEach(async () => {
  guests = new Guests();
  nodes = [];
  for (const name of ['node1', 'node2', 'node3']) nodes.push(guests.attach(await cluster.node(name)));
});

afterEach(async () => {
  guests.stop();
  cluster.stop();
  await cluster.empty('plan', 'operation', 'drvm', 'enrolmentToken', 'node', 'event', 'setting');
});

const rest = <T>(method: string, path: string, body?: unknown, token = admin) =>
  cluster.rest<T>(token, method, path, body);
const plan = (body: object, token = admin) => rest<ClusterPlanView>('POST', 'plans', body, token);
const apply = (id: string, token = admin) =>
  rest<OperationView>('POST', `plans/${id}/apply`, undefined, token);
const ended = (id: string) => rest<OperationView>('GET', `operations/${id}/wait?timeoutSeconds=60`);
const carriedOut = async (made: ClusterPlanView) => ended((await apply(made.id)).id);
const outcomeOf = ({ result }: OperationView) => result as PlanOutcome;
const drvm = (name: string, cpu: number, memoryMiB: number, on: string[]) =>
  runningDrvm(cluster, admin, { name, tenant: 'physics', cpu, memoryMiB, nodes: on });
const stateOf = async (name: string) => (await rest<NodeView>('GET', `nodes/${name}`)).state;
const homeOf = async (id: string) =>
  await database.unrestricted.drvm.findUniqueOrThrow({
    where: { id },
    select: { homeIndex: true, slices: true },
  });

/** What each DRVM is guaranteed on each node. */
async function given(): Promise<Record<string, Record<string, number>>> {
  const { items } = await rest<{ items: DrvmView[] }>('GET', 'drvms');
  return Object.fromEntries(
    items.map(({ name, nodes: on }) => [name, Object.fromEntries(on.map(({ node, cpu }) => [node, cpu]))]),
  );
}

const ledgerAddsUp = async () => expect(await cluster.ledgerAddsUp()).toBe(true);

describe('a balance', () => {
  test('moves one of two programs that compete, once, and not a third', async () => {
    const id = await drvm('fisica', 3, 1536, ['node1', 'node2', 'node3']);
    guests.run(id, 1, 'node1');
    guests.run(id, 2, 'node1');
    guests.run(id, 3, 'node2', { state: 'waiting' });
    const made = await plan({ kind: 'balance' });
    expect(made).toMatchObject({ kind: 'balance', node: null, operation: null, cost: { moves: 1 } });
    expect(made.steps).toEqual([
      expect.objectContaining({
        action: 'migrate-process',
        drvm: 'fisica',
        from: 'node1',
        command: 'survey',
        phase: 0,
        why: { code: 'hot-slice', data: expect.anything() },
      }),
    ]);
    expect(made.gain.strainAfter).toBeLessThan(made.gain.strainBefore);
    expect(guests.moves).toEqual([]);

    const operation = await apply(made.id);
    expect(operation).toMatchObject({ kind: 'plan.apply', subject: 'plan/balance' });
    const done = await ended(operation.id);
    expect(done).toMatchObject({ state: 'succeeded', progress: 1, error: null });
    expect(outcomeOf(done).moved).toHaveLength(1);
    expect(guests.moves).toHaveLength(1);

    await expect(apply(made.id)).rejects.toMatchObject({ code: 'StateConflict' });
    expect((await rest<ClusterPlanView>('GET', `plans/${made.id}`)).operation).toBe(operation.id);
    const again = await plan({ kind: 'balance' });
    expect(again).toMatchObject({ steps: [], gain: { summary: 'nothing to do' } });
  });

  test('moves a slice off a node that has been hot for long enough, with its programs and its home', async () => {
    const [a, b] = [await drvm('aula', 2, 512, ['node1']), await drvm('banco', 2, 512, ['node1'])];
    for (const [id, first] of [
      [a, 1],
      [b, 11],
    ] as const) {
      guests.run(id, first, 'node1');
      guests.run(id, first + 1, 'node1');
    }
    const early = await plan({ kind: 'balance' });
    expect(early.steps).toEqual([]);
    expect(early.rejected).toContainEqual(
      expect.objectContaining({
        what: 'node1',
        rule: 'not-long-enough',
        when: 'not-now',
        advice: expect.anything(),
      }),
    );
    await rest('PATCH', 'planner', { policy: { hotHoldSeconds: 0 } });
    const made = await plan({ kind: 'balance' });
    expect(made.steps).toEqual([
      expect.objectContaining({
        action: 'move-slice',
        from: 'node1',
        isHome: true,
        isPart: false,
        merges: false,
      }),
    ]);
    const [step] = made.steps.flatMap((one) => (one.action === 'move-slice' ? [one] : []));
    const done = await carriedOut(made);
    expect(done).toMatchObject({ state: 'succeeded' });
    expect(outcomeOf(done).slices).toEqual([
      expect.objectContaining({ drvm: step!.drvm, from: 'node1', to: step!.to, processes: 2, home: true }),
    ]);
    expect(await given()).toMatchObject({ [step!.drvm]: { [step!.to]: 2 } });
    expect(new Set(Object.values(guests.places(step!.drvmId)))).toEqual(new Set([step!.to]));
    const { homeIndex, slices } = await homeOf(step!.drvmId);
    expect(slices.map(({ index }) => index)).toEqual([homeIndex]);
    await ledgerAddsUp();
    // It rests now: what has moved stays where it is for a while.
    expect((await plan({ kind: 'balance' })).steps).toEqual([]);
    const told = await database.unrestricted.event.findMany({ where: { kind: 'slice.moved' } });
    expect(told.map(({ text }) => text)).toEqual([expect.stringContaining('processes fewer wait')]);
  });

  test('is refused when it is old, when what it counts on has changed, and when the clock was put back', async () => {
    const id = await drvm('fisica', 3, 1536, ['node1', 'node2', 'node3']);
    guests.run(id, 1, 'node1');
    guests.run(id, 2, 'node1');
    const old = await plan({ kind: 'balance' });
    const setMade = (ms: number) =>
      database.unrestricted.plan.update({
        where: { id: old.id },
        data: { createdAt: new Date(Date.now() + ms) },
      });
    await setMade(-11 * 60_000);
    await expect(apply(old.id)).rejects.toMatchObject({
      code: 'StaleGeneration',
      hint: expect.stringContaining('drvs plan balance'),
    });
    await setMade(3_600_000);
    await expect(apply(old.id)).rejects.toMatchObject({
      code: 'StaleGeneration',
      message: expect.stringContaining('clock was put back'),
    });
    const made = await plan({ kind: 'balance' });
    await database.unrestricted.drvm.update({ where: { id }, data: { generation: { increment: 1 } } });
    await expect(apply(made.id)).rejects.toMatchObject({
      code: 'StaleGeneration',
      message: expect.stringContaining('fisica has changed'),
    });
    expect(guests.moves).toEqual([]);
  });

  test('says so when a DRVM does not answer, and plans for the others', async () => {
    const id = await drvm('fisica', 3, 1536, ['node1', 'node2', 'node3']);
    guests.run(id, 1, 'node1');
    guests.run(id, 2, 'node1');
    const silent = await drvm('muda', 0.5, 256, ['node2']);
    nodes[1]!.containers.delete(silent);
    const { steps, rejected } = await plan({ kind: 'balance' });
    expect(steps).toHaveLength(1);
    expect(rejected).toContainEqual(
      expect.objectContaining({ what: 'muda', reason: expect.stringContaining('not known') }),
    );
  });

  test('of a department looks at its own DRVMs only, and nobody else sees its plan', async () => {
    const id = await drvm('fisica', 3, 1536, ['node1', 'node2', 'node3']);
    guests.run(id, 1, 'node1');
    guests.run(id, 2, 'node1');
    const other = await cluster.tenant(`chemistry-${Date.now()}`);
    const [own, theirs] = [await cluster.token('member', tenantId), await cluster.token('member', other)];
    const made = await plan({ kind: 'balance' }, own);
    expect(made.steps).toHaveLength(1);
    expect((await plan({ kind: 'balance' }, theirs)).steps).toEqual([]);
    await expect(rest('GET', `plans/${made.id}`, undefined, theirs)).rejects.toMatchObject({
      code: 'NotFound',
    });
    await expect(apply(made.id, theirs)).rejects.toMatchObject({ code: 'NotFound' });
    for (const kind of ['drain', 'restore', 'evacuate'])
      await expect(plan({ kind, node: 'node1' }, own)).rejects.toMatchObject({ code: 'NotAllowed' });
    for (const kind of ['consolidate', 'reallocate', 'power'])
      await expect(plan({ kind }, own)).rejects.toMatchObject({ code: 'NotAllowed' });
    expect(await ended((await apply(made.id, own)).id)).toMatchObject({ state: 'succeeded' });
  });
});

describe('a node that is drained', () => {
  test('is emptied of slices, homes and programs, takes nothing new, and gets all of it back when it is restored', async () => {
    const [a, b] = [await drvm('aula', 1, 512, ['node2']), await drvm('banco', 0.5, 512, ['node2', 'node3'])];
    guests.run(a, 1, 'node2');
    guests.run(a, 2, 'node2', { state: 'waiting' });
    guests.run(b, 7, 'node2');
    const before = await given();
    const operation = await rest<OperationView>('POST', 'nodes/node2/drain');
    expect(operation).toMatchObject({ kind: 'plan.apply', subject: 'node/node2' });
    const done = await ended(operation.id);
    expect(done.error).toBeNull();
    expect(done.state).toBe('succeeded');
    expect(outcomeOf(done)).toMatchObject({ stays: [], notDone: [] });
    expect(
      outcomeOf(done)
        .slices.map(({ drvm: name, home }) => [name, home])
        .sort(),
    ).toEqual([
      ['aula', true],
      ['banco', true],
    ]);
    for (const id of [a, b]) expect(Object.values(guests.places(id))).not.toContain('node2');
    expect(await given()).not.toMatchObject({ aula: { node2: 1 } });
    expect(nodes[1]!.containers.size).toBe(0);
    await until('it is drained', async () => (await stateOf('node2')) === 'drained');
    await ledgerAddsUp();

    await expect(
      rest('POST', 'drvms', { name: 'nova', tenant: 'physics', cpu: 0.5, memoryMiB: 256, nodes: ['node2'] }),
    ).rejects.toMatchObject({ code: 'InsufficientResources' });

    const restored = await ended(
      (await rest<OperationView>('POST', 'nodes/node2/restore', { mode: 'return' })).id,
    );
    expect(restored.error).toBeNull();
    expect(await given()).toEqual(before);
    expect(guests.places(a)).toEqual({ 1: 'node2', 2: 'node2' });
    expect(await stateOf('node2')).toBe('up');
    expect(await database.unrestricted.departure.count()).toBe(0);
    await ledgerAddsUp();
    const kinds = (await database.unrestricted.event.findMany({ where: { node: 'node2' } })).map(
      ({ kind }) => kind,
    );
    expect(kinds).toEqual(expect.arrayContaining(['node.cordoned', 'node.restored', 'slice.moved']));
  });

  test('gives its part to slices that its DRVMs have elsewhere, and gets that part back', async () => {
    const id = await drvm('fisica', 3, 1536, ['node1', 'node2', 'node3']);
    for (const pid of [1, 2]) guests.run(id, pid, 'node2', { state: 'waiting' });
    const made = await plan({ kind: 'drain', node: 'node2' });
    expect(made.steps.map(({ action }) => action)).toEqual(['cordon', 'move-slice']);
    expect(made.steps[1]).toMatchObject({ merges: true, isPart: false, guaranteed: { cpu: 1 } });
    expect(await carriedOut(made)).toMatchObject({ state: 'succeeded', error: null });
    const after = (await given()).fisica!;
    expect(Object.keys(after).sort()).toEqual(['node1', 'node3']);
    expect(Object.values(after).sort()).toEqual([1, 2]);
    expect(Object.values(guests.places(id))).not.toContain('node2');
    await ledgerAddsUp();
    const back = await rest<OperationView>('POST', 'nodes/node2/restore', { mode: 'return' });
    expect(await ended(back.id)).toMatchObject({ state: 'succeeded', error: null });
    expect(await given()).toEqual({ fisica: { node1: 1, node2: 1, node3: 1 } });
    await ledgerAddsUp();
  });

  test('sends a DRVM to nodes that have what it requires, as its creation did', async () => {
    for (const name of ['node2', 'node3'])
      await rest('PATCH', `nodes/${name}/traits`, { add: ['site=norte'] });
    await runningDrvm(cluster, admin, {
      name: 'aula',
      tenant: 'physics',
      cpu: 0.5,
      memoryMiB: 256,
      nodes: ['node2'],
      require: ['arch=x64', 'site=norte'],
    });
    const operation = await rest<OperationView>('POST', 'nodes/node2/drain');
    expect(await ended(operation.id)).toMatchObject({ state: 'succeeded', error: null });
    expect(await given()).toEqual({ aula: { node3: 0.5 } });
  });

  test('may be opened with what left it staying where it is', async () => {
    const id = await drvm('aula', 1, 512, ['node2']);
    guests.run(id, 1, 'node2');
    await ended((await rest<OperationView>('POST', 'nodes/node2/drain')).id);
    const after = await given();
    expect(await rest('POST', 'nodes/node2/restore')).toMatchObject({ name: 'node2', state: 'up' });
    expect(await given()).toEqual(after);
    expect(await database.unrestricted.departure.count()).toBe(0);
    await ended((await rest<OperationView>('POST', 'nodes/node1/drain')).id);
    await ended((await rest<OperationView>('POST', 'nodes/node1/restore', { mode: 'stay' })).id);
    expect(await stateOf('node1')).toBe('up');
    await ended((await rest<OperationView>('POST', 'nodes/node1/drain')).id);
    await ended((await rest<OperationView>('POST', 'nodes/node1/restore', { mode: 'rebalance' })).id);
    expect(await stateOf('node1')).toBe('up');
    await expect(rest('POST', 'nodes/node1/restore', { mode: 'again' })).rejects.toMatchObject({
      code: 'InvalidInput',
    });
  });

  test('that cannot be emptied tells what keeps each DRVM and what to change, and goes on when that is changed', async () => {
    const small = await drvm('chica', 0.5, 256, ['node2']);
    const large = await drvm('grande', 3, 3000, ['node2']);
    await drvm('llena', 3, 3000, ['node1']);
    const blocker = await drvm('ocupa', 3, 3000, ['node3']);
    const made = await plan({ kind: 'drain', node: 'node2' });
    expect(made.rejected).toEqual([
      expect.objectContaining({
        what: 'grande@node2',
        rule: 'no-room',
        when: 'not-now',
        reason: expect.stringContaining('no-room on 2 nodes'),
        advice: expect.stringContaining('drvm resize'),
      }),
    ]);
    const { id } = await rest<OperationView>('POST', 'nodes/node2/drain');
    const done = await ended(id);
    expect(done.state).toBe('succeeded');
    expect(outcomeOf(done).stays.map(({ what }) => what)).toEqual(['grande@node2']);
    expect(Object.keys((await given()).chica!)).not.toContain('node2');
    expect(await given()).toMatchObject({ grande: { node2: 3 } });
    expect(await stateOf('node2')).toBe('draining');
    await ledgerAddsUp();
    await ended(
      (await rest<{ operation: OperationView }>('DELETE', 'drvms/ocupa')).operation?.id ?? blocker,
    ).catch(() => undefined);
    await until('the room is free', async () => !('ocupa' in (await given())));
    const on = await ended((await rest<OperationView>('POST', 'nodes/node2/drain')).id);
    expect(outcomeOf(on)).toMatchObject({ stays: [], slices: [{ drvm: 'grande', to: 'node3' }] });
    await until('it is drained', async () => (await stateOf('node2')) === 'drained');
    // Both come back, also what left at the first attempt.
    await ended((await rest<OperationView>('POST', 'nodes/node2/restore', { mode: 'return' })).id);
    expect(await given()).toMatchObject({ chica: { node2: 0.5 }, grande: { node2: 3 } });
    expect([small, large].every((drvmId) => nodes[1]!.containers.has(drvmId))).toBe(true);
  });

  test('is removed for good once it is empty, and not before', async () => {
    const id = await drvm('aula', 1, 512, ['node2']);
    guests.run(id, 1, 'node2');
    const done = await ended((await rest<OperationView>('POST', 'nodes/node2/retire')).id);
    expect(done).toMatchObject({ state: 'succeeded', error: null });
    expect(outcomeOf(done).nodes).toContainEqual({ node: 'node2', change: 'removed' });
    await expect(rest('GET', 'nodes/node2')).rejects.toMatchObject({ code: 'NotFound' });
    expect(Object.keys(await given().then(({ aula }) => aula!))).toHaveLength(1);
    const { items } = await rest<{ items: ClusterPlanView[] }>('GET', 'plans');
    expect(items.map(({ kind, node }) => [kind, node])).toEqual([['drain', 'node2']]);

    await drvm('llena', 3, 3000, ['node1']);
    await drvm('grande', 3, 3000, ['node3']);
    const stuck = await ended((await rest<OperationView>('POST', 'nodes/node3/retire')).id);
    expect(stuck).toMatchObject({ state: 'failed', error: { message: expect.stringContaining('grande') } });
    expect(await stateOf('node3')).toBe('draining');
  });

  test('must be up, and only a supra-administrator drains and restores', async () => {
    const member = await cluster.token('member', tenantId);
    for (const what of ['drain', 'retire', 'restore']) {
      await expect(rest('POST', `nodes/node2/${what}`, undefined, member)).rejects.toMatchObject({
        code: 'NotAllowed',
      });
      await expect(rest('POST', `nodes/nowhere/${what}`)).rejects.toMatchObject({ code: 'NotFound' });
    }
    nodes[2]!.disconnect();
    await until('its last heartbeat is worked off', async () => {
      await database.unrestricted.node.update({
        where: { id: nodes[2]!.nodeId },
        data: { lastSeenAt: new Date(0) },
      });
      return (await stateOf('node3')) === 'down';
    });
    await expect(rest('POST', 'nodes/node3/drain')).rejects.toMatchObject({ code: 'StateConflict' });
    await expect(rest('POST', 'nodes/node3/restore', { mode: 'return' })).rejects.toMatchObject({
      code: 'StateConflict',
    });
  });
});

describe('carrying a plan out', () => {
  test('skips what is no longer wanted, and says why', async () => {
    await drvm('aula', 0.5, 256, ['node2']);
    await drvm('banco', 0.5, 256, ['node2']);
    const third = await drvm('canal', 0.5, 256, ['node2']);
    guests.run(third, 1, 'node2');
    const made = await plan({ kind: 'drain', node: 'node2' });
    expect(made.steps.map(({ phase }) => phase)).toEqual([0, 1, 1, 2]);
    const target = made.steps.flatMap((step) => ('to' in step && step.drvmId === third ? [step.to] : []))[0]!;
    // While the first ones move, where the third would go is closed.
    let isDone = false;
    nodes[1]!.before = async (method) => {
      if (method !== 'drvm.delete' || isDone) return;
      isDone = true;
      await database.unrestricted.node.updateMany({
        where: { name: target },
        data: { wantedState: 'drained' },
      });
    };
    const done = await carriedOut(made);
    expect(done.state).toBe('succeeded');
    const { slices, skipped } = outcomeOf(done);
    expect(slices.length + skipped.length).toBe(3);
    for (const { reason } of skipped) expect(reason).toBe(`${target} was closed meanwhile`);
    await ledgerAddsUp();
  });

  test('goes on where one DRVM cannot move, fails at the end with the reason, and can be tried again', async () => {
    const [a, b] = [await drvm('aula', 0.5, 256, ['node2']), await drvm('banco', 0.5, 256, ['node2'])];
    guests.run(a, 1, 'node2');
    guests.run(b, 2, 'node2');
    guests.beforeMove = (id) => {
      if (id === a) throw new DrvsError('MigrationFailed', 'no memory left there');
    };
    const { id } = await rest<OperationView>('POST', 'nodes/node2/drain');
    const done = await ended(id);
    expect(done).toMatchObject({ state: 'failed', error: { code: 'MigrationFailed' } });
    expect(outcomeOf(done)).toMatchObject({
      slices: [{ drvm: 'banco' }],
      notDone: [{ reason: expect.stringContaining('no memory left there') }],
    });
    expect(guests.places(a)).toEqual({ 1: 'node2' });
    expect(await given()).toMatchObject({ aula: { node2: 0.5 } });
    await ledgerAddsUp();
    guests.beforeMove = () => undefined;
    await rest('POST', `operations/${id}/retry`);
    expect(await ended(id)).toMatchObject({ state: 'succeeded' });
    expect(Object.keys((await given()).aula!)).not.toContain('node2');
    await ledgerAddsUp();
  });

  test('goes on after a crash where it was: what had moved or grown does not do so twice', async () => {
    await drvm('fisica', 3, 1536, ['node1', 'node2', 'node3']);
    const alone = await drvm('aula', 0.5, 256, ['node2']);
    guests.run(alone, 1, 'node2');
    const { id } = await rest<OperationView>('POST', 'nodes/node2/drain');
    expect(await ended(id)).toMatchObject({ state: 'succeeded' });
    const after = await given();
    const moves = guests.moves.length;
    const target = await database.unrestricted.slice.findFirstOrThrow({
      where: { drvm: { name: 'fisica' }, cpuMilli: 2_000 },
    });
    const { cpuMilli, memoryMiB, diskGiB, networkMbps } = target;
    const size = { cpuMilli, memoryMiB, diskGiB, networkMbps };
    // As a process leaves it that is killed after the changes and before it could write down that they are done.
    await database.system(async (tx) => {
      for (const step of await tx.operationStep.findMany({ where: { operationId: id } })) {
        if (step.name.startsWith('sum up')) {
          const last = { operationId_position: { operationId: id, position: step.position } };
          await tx.operationStep.update({ where: last, data: { state: 'pending', endedAt: null } });
        }
        if (!step.name.startsWith('move')) continue;
        const aims = { aims: { target: { guaranteed: size, ceiling: size }, source: null } };
        await tx.operationStep.update({
          where: { operationId_position: { operationId: id, position: step.position } },
          data: { state: 'running', endedAt: null, output: step.name.includes('fisica') ? aims : {} },
        });
      }
      await tx.operation.update({
        where: { id },
        data: { state: 'running', endedAt: null, result: {}, progress: 0.1 },
      });
    });
    const done = await ended(id);
    expect(done).toMatchObject({ state: 'succeeded', error: null });
    expect(await given()).toEqual(after);
    expect(guests.moves).toHaveLength(moves);
    expect(await database.unrestricted.departure.count()).toBe(2);
    await ledgerAddsUp();
  }, 120_000);

  test('refuses a second plan on what a first is changing, and leaves everything as it was', async () => {
    const a = await drvm('aula', 1, 512, ['node2']);
    const b = await drvm('banco', 1, 512, ['node1', 'node3']);
    guests.run(a, 1, 'node2');
    for (const pid of [11, 12]) guests.run(b, pid, 'node1');
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let begun = 0;
    guests.beforeMove = (id) => {
      if (id !== a) return;
      begun++;
      return held;
    };
    const second = await plan({ kind: 'drain', node: 'node2' });
    const first = await rest<OperationView>('POST', 'nodes/node2/drain');
    await until('the first has begun', () => begun > 0);
    await expect(apply(second.id)).rejects.toMatchObject({ code: 'StaleGeneration' });
    await expect(rest('POST', 'nodes/node2/drain')).rejects.toMatchObject({
      code: 'OperationUnderWay',
      hint: expect.stringContaining(first.id),
    });
    const target = first.steps[0]!.name.split(' ').at(-1)!;
    await expect(rest('POST', `nodes/${target}/drain`)).rejects.toMatchObject({ code: 'OperationUnderWay' });
    // Refused as a whole: it was not even closed.
    expect(await stateOf(target)).toBe('up');
    release();
    expect(await ended(first.id)).toMatchObject({ state: 'succeeded' });
    await ledgerAddsUp();
  });

  test('is cancelled at each step: what is done stays done and valid, and the rest is said not to be', async () => {
    const ids: string[] = [];
    for (const name of ['a1', 'a2', 'a3']) ids.push(await drvm(name, 0.5, 256, ['node2']));
    for (const [n, id] of ids.entries()) guests.run(id, n + 1, 'node2');
    for (let at = 1; at <= 3; at++) {
      let release = (): void => undefined;
      const held = new Promise<void>((resolve) => {
        release = resolve;
      });
      let begun = 0;
      guests.beforeMove = () => {
        begun++;
        return begun >= at ? held : undefined;
      };
      const { id } = await rest<OperationView>('POST', 'nodes/node2/drain');
      await until('the move has begun', () => begun >= at);
      await rest('POST', `operations/${id}/cancel`);
      release();
      const done = await ended(id);
      const states = new Set(done.steps.map(({ state }) => state));
      if (done.state === 'cancelled') {
        expect(states.has('running')).toBe(false);
        const { slices, notDone } = outcomeOf(done);
        expect(slices.length + notDone.length).toBe(3);
        expect(notDone.every(({ reason }) => reason === 'it was not begun')).toBe(true);
      } else expect(done.state).toBe('succeeded');
      await ledgerAddsUp();
      const all = await given();
      expect(Object.values(all).map((on) => Object.values(on).reduce((x, y) => x + y, 0))).toEqual([
        0.5, 0.5, 0.5,
      ]);
      for (const [n, drvmId] of ids.entries()) {
        expect(Object.values(guests.places(drvmId))).toEqual(Object.keys(all[`a${n + 1}`]!));
      }
      guests.beforeMove = () => undefined;
      const back = await rest<OperationView>('POST', 'nodes/node2/restore', { mode: 'return' });
      expect(await ended(back.id)).toMatchObject({ state: 'succeeded' });
      expect(Object.values(await given())).toEqual([{ node2: 0.5 }, { node2: 0.5 }, { node2: 0.5 }]);
    }
  }, 240_000);

  test('is cancelled while a step waits for who never answers: that is given back, and told', async () => {
    const id = await drvm('a1', 0.5, 256, ['node2']);
    guests.run(id, 1, 'node2');
    let reach = (): void => undefined;
    const reached = new Promise<void>((resolve) => {
      reach = resolve;
    });
    const never = new Promise<void>(() => undefined);
    for (const node of nodes) {
      node.before = (method) => {
        if (method !== 'drvm.prepare') return;
        reach();
        return never;
      };
    }
    const { id: operation } = await rest<OperationView>('POST', 'nodes/node2/drain');
    await reached;
    await rest('POST', `operations/${operation}/cancel`);
    const done = await ended(operation);
    expect(done.state).toBe('cancelled');
    expect(outcomeOf(done).notDone).toMatchObject([{ reason: 'It was cancelled' }]);
    const { items } = await rest<{ items: { text: string }[] }>('GET', `operations/${operation}/logs`);
    expect(items.map(({ text }) => text)).toContain(
      'a cancellation was asked for: what is under way is ended',
    );
    await ledgerAddsUp();
    expect(await given()).toEqual({ a1: { node2: 0.5 } });
    expect(guests.places(id)).toEqual({ 1: 'node2' });
    // The agents answer again: the next plan does what this one could not.
    for (const node of nodes) node.before = () => undefined;
    expect(await ended((await rest<OperationView>('POST', 'nodes/node2/drain')).id)).toMatchObject({
      state: 'succeeded',
    });
    expect(Object.keys((await given()).a1!)).not.toContain('node2');
  }, 120_000);

  test('is taken back by a plan of its own, as far as the cluster lets it', async () => {
    const [a, b] = [await drvm('aula', 0.5, 256, ['node2']), await drvm('banco', 0.5, 256, ['node2'])];
    guests.run(a, 1, 'node2');
    const before = await given();
    const made = await plan({ kind: 'drain', node: 'node2' });
    await expect(rest('POST', `plans/${made.id}/undo`)).rejects.toMatchObject({ code: 'StateConflict' });
    await carriedOut(made);
    await ended((await rest<{ operation: OperationView }>('DELETE', 'drvms/banco')).operation?.id ?? b).catch(
      () => undefined,
    );
    await until('it is gone', async () => !('banco' in (await given())));
    const back = await rest<ClusterPlanView>('POST', `plans/${made.id}/undo`);
    expect(back).toMatchObject({ kind: 'undo', node: 'node2' });
    expect(back.steps.map(({ action }) => action).sort()).toEqual(['move-slice', 'uncordon']);
    expect(back.rejected).toEqual([expect.objectContaining({ rule: 'moved-on' })]);
    expect(await carriedOut(back)).toMatchObject({ state: 'succeeded', error: null });
    expect(await given()).toEqual({ aula: before.aula });
    expect(await stateOf('node2')).toBe('up');
    await ledgerAddsUp();
  });
});

describe('the rules of a DRVM', () => {
  const rules = (name: string, change?: object, token = admin) =>
    rest<DrvmRulesView>(change ? 'PATCH' : 'GET', `drvms/${name}/rules`, change, token);

  test('are changed as it runs: nothing moves, what breaks them is told, and a balance mends it', async () => {
    const a = await drvm('aula', 0.5, 256, ['node1']);
    await drvm('banco', 0.5, 512, ['node1']);
    guests.run(a, 1, 'node1', { state: 'waiting' });
    expect(await rules('aula')).toMatchObject({ affinity: [], antiAffinity: [], require: [], broken: [] });
    expect((await plan({ kind: 'balance' })).steps).toEqual([]);
    const changed = await rules('banco', { antiAffinity: ['aula'] });
    expect(changed).toMatchObject({
      drvm: 'banco',
      antiAffinity: ['aula'],
      broken: [{ node: 'node1', rule: 'not-apart', reason: 'aula is there too' }],
    });
    // It binds both.
    expect((await rules('aula')).broken).toMatchObject([{ rule: 'not-apart', reason: 'banco is there too' }]);
    expect(await given()).toEqual({ aula: { node1: 0.5 }, banco: { node1: 0.5 } });

    const made = await plan({ kind: 'balance' });
    expect(made.steps).toEqual([
      expect.objectContaining({
        action: 'move-slice',
        from: 'node1',
        why: expect.objectContaining({ code: 'rule-broken' }),
      }),
    ]);
    expect(await carriedOut(made)).toMatchObject({ state: 'succeeded', error: null });
    for (const name of ['aula', 'banco']) expect((await rules(name)).broken).toEqual([]);
    await ledgerAddsUp();

    const { slices } = await homeOf(a);
    const where = nodes.find(({ nodeId }) => nodeId === slices[0]!.nodeId)!.name;
    await database.unrestricted.node.update({
      where: { name: where },
      data: { taints: ['old=1:NoSchedule'] },
    });
    expect((await rules('aula')).broken).toMatchObject([{ node: where, rule: 'tainted' }]);
    expect((await rules('aula', { tolerate: ['old'] })).broken).toEqual([]);
    const kinds = await database.unrestricted.event.count({ where: { kind: 'drvm.rules-changed' } });
    expect(kinds).toBe(2);
  });

  test('that contradict each other are refused, and so is who may not set them', async () => {
    await drvm('aula', 0.5, 256, ['node1']);
    await drvm('banco', 0.5, 256, ['node1']);
    await drvm('cine', 0.5, 256, ['node1']);
    const refused = { code: 'InvalidInput' };
    await expect(rules('aula', {})).rejects.toMatchObject(refused);
    await expect(rules('aula', { affinity: ['aula'] })).rejects.toMatchObject(refused);
    await expect(rules('aula', { affinity: ['banco'], antiAffinity: ['banco'] })).rejects.toMatchObject(
      refused,
    );
    await rules('aula', { affinity: ['banco'] });
    await expect(rules('banco', { antiAffinity: ['aula'] })).rejects.toMatchObject({
      code: 'InvalidInput',
      message: expect.stringContaining('contradict each other'),
    });
    await rules('banco', { affinity: ['cine'] });
    await expect(rules('cine', { antiAffinity: ['aula'] })).rejects.toMatchObject(refused);
    await expect(rules('aula', { antiAffinity: ['nadie'] })).rejects.toMatchObject({ code: 'NotFound' });
    // Nothing of what was refused is left.
    expect(await rules('banco')).toMatchObject({ affinity: ['cine'], antiAffinity: [], broken: [] });
    const auditor = await cluster.token('auditor');
    await expect(rules('aula', { affinity: [] }, auditor)).rejects.toMatchObject({ code: 'NotAllowed' });
    const other = await cluster.tenant(`biology-${Date.now()}`);
    const theirs = await cluster.token('tenant-admin', other);
    await expect(rules('aula', { affinity: [] }, theirs)).rejects.toMatchObject({ code: 'NotFound' });
    const { url } = cluster.api;
    const stale = await new ApiClient(url, admin).patch(
      '/drvms/aula/rules',
      { affinity: [] },
      { 'if-match': '"1"' },
    );
    expect(stale.status).toBe(412);
  });
});
