import { RESOURCE_CLASSES, type ResourceAmounts } from '@drvs/contracts';
import { placeDrvm } from '@drvs/policy';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import pg from 'pg';
import type { Actor } from '../../apps/api/src/auth/actor.js';
import { Database } from '../../apps/api/src/database/database.js';
import {
  type NewDrvm,
  NewDrvm as NewDrvmSchema,
  placementRequestOf,
} from '../../apps/api/src/drvms/drvm-request.js';
import { DrvmsService } from '../../apps/api/src/drvms/drvms.service.js';
import { InventoryService } from '../../apps/api/src/nodes/inventory.service.js';
import { SliceChanges } from '../../apps/api/src/reconfigure/slice-changes.js';
import { addNode, startApi, type TestApi } from '../support/api.js';
import { amounts, LedgerModel, outcomeOf } from '../support/ledger-model.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';

/** Sequences through PostgreSQL; set DRVS_LEDGER_RUNS for a longer hunt. */
const RUNS = Number(process.env.DRVS_LEDGER_RUNS ?? 40);
const STEPS_MAX = 10;
const CLIENTS = 8;
const WITHIN_MS = 60_000;
const TOTAL = amounts(3_000, 3_000, 12, 500);
const NODES = ['node1', 'node2', 'node3', 'node4'];

let postgres: TestPostgres;
let api: TestApi;
let watch: pg.Client;
let database: Database;
let drvms: DrvmsService;
let changes: SliceChanges;
let inventory: InventoryService;
let nodes: { id: string; name: string; total: ResourceAmounts }[];
const actor: Actor = { userId: null, tokenId: null, name: 'test', role: 'supra-admin', tenantId: null };
const { signal } = new AbortController();

beforeAll(async () => {
  postgres = await startPostgres();
  const databaseUrl = await postgres.createDatabase();
  // The operations of these sequences are ended from the start, so their changes are nobody's: whoever has this lock, and
  // no API process then, gives such changes back every ten seconds.
  watch = new pg.Client({ connectionString: databaseUrl });
  await watch.connect();
  await watch.query(`SELECT pg_advisory_lock(hashtext('drvs.session'), hashtext('drvs.lending'))`);
  api = await startApi(databaseUrl);
  database = api.app.get(Database);
  drvms = api.app.get(DrvmsService);
  changes = api.app.get(SliceChanges);
  inventory = api.app.get(InventoryService);
  nodes = [];
  for (const name of NODES) nodes.push({ id: await addNode(api, name, TOTAL), name, total: TOTAL });
  (await api.admin.post('/tenants', { name: 't' })).expect(201);
});
afterAll(async () => {
  await api?.stop();
  await watch?.end();
  await postgres?.stop();
});
beforeEach(reset);

/** Tried again when it meets the runner, which looks at operations of the sequence before. */
async function reset(): Promise<void> {
  await database.system(async (tx) => {
    await tx.operation.deleteMany();
    await tx.drvm.deleteMany();
    for (const name of RESOURCE_CLASSES)
      await tx.inventory.updateMany({ where: { class: name }, data: { total: TOTAL[name], reserved: 0 } });
  });
}

const anyAmounts = fc
  .record({
    cpu: fc.integer({ min: 1, max: 40 }),
    memory: fc.integer({ min: 192, max: 2_500 }),
    disk: fc.integer({ min: 0, max: 8 }),
    network: fc.integer({ min: 0, max: 200 }),
  })
  .map(({ cpu, memory, disk, network }) => amounts(cpu * 50, memory, disk, network));
const anyNode = fc.integer({ min: 0, max: NODES.length - 1 });
/** Which of the DRVMs that there are at that moment, and which of its slices. */
const anyOne = fc.nat({ max: 99 });

const anyStep = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('create' as const),
      total: anyAmounts,
      nodes: fc.oneof(
        fc.constant(undefined),
        fc.integer({ min: 1, max: 3 }),
        anyNode.map((n) => [NODES[n] as string]),
      ),
      exclusive: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
      policy: fc.constantFrom('spread' as const, 'pack' as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('delete' as const), drvm: anyOne }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('resize' as const), drvm: anyOne, slice: anyOne, to: anyAmounts }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('move' as const), drvm: anyOne, slice: anyOne, node: anyNode }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('reserve' as const),
      node: anyNode,
      reserved: fc.integer({ min: 0, max: 3_000 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('lose' as const),
      node: anyNode,
      left: fc.integer({ min: 300, max: 3_000 }),
    }),
  },
);
type Step = typeof anyStep extends fc.Arbitrary<infer T> ? T : never;

/** What the operation does in the end that would build, or move, the containers: there are no agents here. */
async function settle(drvmId: string): Promise<void> {
  await database.unrestricted.$executeRaw`
    UPDATE operation SET state = 'succeeded', ended_at = now(), progress = 1 WHERE drvm_id = ${drvmId}::uuid AND ended_at IS NULL`;
  await database.unrestricted.$executeRaw`
    UPDATE drvm SET state = 'stopped', wanted_state = 'stopped' WHERE id = ${drvmId}::uuid`;
}

/** Each change belongs to an operation. */
async function changeOptions(drvmId: string) {
  const { id: operationId } = await database.unrestricted.operation.create({
    data: {
      kind: 'drvm.resize',
      state: 'succeeded',
      endedAt: new Date(),
      subject: 'drvm/test',
      drvmId,
      requestedBy: 'user/test',
    },
  });
  return { operationId, key: operationId, withinMs: WITHIN_MS, signal };
}

function newDrvm(step: Extract<Step, { do: 'create' }>, name: string): NewDrvm {
  const { cpuMilli, memoryMiB, diskGiB, networkMbps } = step.total;
  return NewDrvmSchema.parse({
    name,
    tenant: 't',
    cpu: cpuMilli / 1000,
    memoryMiB,
    diskGiB,
    networkMbps,
    nodes: step.nodes,
    exclusive: step.exclusive,
    policy: step.policy,
  });
}

/** One step through the pure ledger and through the services: both do it, or both refuse it with the same code. */
async function both(step: Step, model: LedgerModel, name: string): Promise<void> {
  const pick = (nth: number) => model.snapshot.drvms[nth % Math.max(1, model.snapshot.drvms.length)];
  switch (step.do) {
    case 'create': {
      const input = newDrvm(step, name);
      const planned = await outcomeOf(() =>
        placeDrvm(placementRequestOf(input, { together: [], apart: [] }), model.nodeSnapshots()),
      );
      const made = await outcomeOf(() => drvms.create(actor, input));
      if ('code' in planned || 'code' in made) {
        expect(made).toEqual(planned);
        return;
      }
      const { id } = made.value.drvm;
      await settle(id);
      model.create(id, step.exclusive);
      for (const { nodeId, amounts: given } of planned.value.slices) model.put(id, nodeId, given);
      return;
    }
    case 'delete': {
      const drvm = pick(step.drvm);
      if (!drvm) return;
      await database.system((tx) => tx.drvm.deleteMany({ where: { id: drvm.id } }));
      model.remove(drvm.id);
      return;
    }
    case 'resize': {
      const drvm = pick(step.drvm);
      const slices = drvm ? model.slicesOf(drvm.id) : [];
      const slice = slices[step.slice % Math.max(1, slices.length)];
      if (!drvm || !slice) return;
      const more = Object.fromEntries(
        RESOURCE_CLASSES.map((name) => [name, step.to[name] - slice.guaranteed[name]]),
      ) as unknown as ResourceAmounts;
      const fits = model.hasRoom(slice.nodeId, more);
      const change = { drvmId: drvm.id, nodeId: slice.nodeId, guaranteed: step.to, ceiling: step.to };
      const done = await outcomeOf(async () => changes.resize(change, await changeOptions(drvm.id)));
      expect('code' in done ? done.code : 'done').toBe(fits ? 'done' : 'InsufficientResources');
      if (fits) model.put(drvm.id, slice.nodeId, step.to);
      return;
    }
    case 'move': {
      const drvm = pick(step.drvm);
      // One that keeps its nodes for itself is made anew elsewhere, not slice by slice.
      if (drvm?.isExclusive) return;
      const target = nodes[step.node];
      // The home is the first slice; it goes by a protocol of its own.
      const homes = drvm
        ? await database.unrestricted.slice.findMany({ where: { drvmId: drvm.id, isHome: true } })
        : [];
      const slices = drvm
        ? model.slicesOf(drvm.id).filter(({ nodeId }) => homes.every((home) => home.nodeId !== nodeId))
        : [];
      const slice = slices[step.slice % Math.max(1, slices.length)];
      if (!drvm || !slice || !target || model.slicesOf(drvm.id).some(({ nodeId }) => nodeId === target.id))
        return;
      const mayCome =
        model.hasRoom(target.id, slice.guaranteed) && !model.isBarred(target.id, drvm.id, false);
      const { guaranteed, ceiling } = slice;
      const change = { drvmId: drvm.id, nodeId: target.id, guaranteed, ceiling };
      const done = await outcomeOf(async () => changes.add(change, await changeOptions(drvm.id)));
      expect('code' in done ? done.code : 'done').toBe(mayCome ? 'done' : 'InsufficientResources');
      if (!mayCome) return;
      model.put(drvm.id, target.id, guaranteed);
      await database.system((tx) =>
        tx.slice.deleteMany({ where: { drvmId: drvm.id, nodeId: slice.nodeId } }),
      );
      model.take(drvm.id, slice.nodeId);
      return;
    }
    case 'reserve': {
      const node = nodes[step.node];
      if (!node) return;
      const record = model.node(node.id);
      const reserved = { ...record.reserved, cpuMilli: step.reserved };
      const capacity = (held: number) => Math.max(0, record.total.cpuMilli - held);
      const given = model.snapshot.slices
        .filter(({ nodeId }) => nodeId === node.id)
        .reduce((sum, slice) => sum + slice.held.cpuMilli, 0);
      const worsens =
        given > capacity(step.reserved) && capacity(step.reserved) < capacity(record.reserved.cpuMilli);
      const done = await outcomeOf(() =>
        inventory.set(actor, node.name, { cpuMilli: { reserved: step.reserved } }, null),
      );
      if ('code' in done) return expect(worsens || step.reserved > record.total.cpuMilli).toBe(true);
      expect(worsens).toBe(false);
      record.reserved = reserved;
      return;
    }
    case 'lose': {
      const node = nodes[step.node];
      if (!node) return;
      const record = model.node(node.id);
      await database.unrestricted.inventory.update({
        where: { nodeId_class: { nodeId: node.id, class: 'memoryMiB' } },
        data: { total: step.left },
      });
      record.total = { ...record.total, memoryMiB: step.left };
      return;
    }
  }
}

interface NodeState {
  node: string;
  class: (typeof RESOURCE_CLASSES)[number];
  capacity: number;
  used: number;
}

async function stateInDatabase(): Promise<{ given: NodeState[]; slices: string[] }> {
  const rows = await database.unrestricted.$queryRaw<NodeState[]>`
    SELECT node_id::text AS node, class::text AS class, used,
      greatest(0, floor((total - reserved) * allocation_ratio))::float8 AS capacity
    FROM inventory ORDER BY 1, 2`;
  const slices = await database.unrestricted.slice.findMany();
  return {
    given: rows,
    slices: slices
      .map(({ drvmId, nodeId, cpuMilli, memoryMiB, diskGiB, networkMbps }) =>
        [drvmId, nodeId, cpuMilli, memoryMiB, diskGiB, networkMbps].join(' '),
      )
      .sort(),
  };
}

/** The database and the pure ledger hold the same, to the last unit. */
async function agree(model: LedgerModel): Promise<void> {
  const { given, slices } = await stateInDatabase();
  expect(slices).toEqual(
    model.snapshot.slices
      .map(({ drvmId, nodeId, guaranteed }) =>
        [drvmId, nodeId, ...RESOURCE_CLASSES.map((name) => guaranteed[name])].join(' '),
      )
      .sort(),
  );
  const { ledger } = model;
  for (const { node, class: name, capacity, used } of given) {
    const at = model.snapshot.nodes.findIndex(({ id }) => id === node) * RESOURCE_CLASSES.length;
    const c = RESOURCE_CLASSES.indexOf(name);
    expect([node, name, capacity, capacity - used]).toEqual([
      node,
      name,
      ledger.capacity[at + c],
      ledger.free[at + c],
    ]);
  }
}

describe('the ledger in PostgreSQL and the pure one', () => {
  it('a change that is given back while it is made says so, and leaves what was there', async () => {
    const input = NewDrvmSchema.parse({
      name: 'one',
      tenant: 't',
      cpu: 0.5,
      memoryMiB: 256,
      nodes: ['node1'],
    });
    const { id: drvmId } = (await drvms.create(actor, input)).drvm;
    await settle(drvmId);
    const nodeId = nodes[0]!.id;
    const to = amounts(500, 1_024, 0, 0);
    const options = await changeOptions(drvmId);
    let isOver = false;
    const giving = (async () => {
      while (!isOver) await changes.endOrphans(options);
    })();
    const outcomes = new Set<string>();
    for (let round = 0; round < 200 && !outcomes.has('StateConflict'); round++) {
      const change = { drvmId, nodeId, guaranteed: to, ceiling: to };
      const done = await outcomeOf(async () => changes.resize(change, await changeOptions(drvmId)));
      const { memoryMiB } = await database.unrestricted.slice.findFirstOrThrow({ where: { drvmId } });
      expect(memoryMiB).toBe('code' in done ? 256 : 1_024);
      outcomes.add('code' in done ? done.code : 'done');
      const back = { drvmId, nodeId, guaranteed: amounts(500, 256, 0, 0), ceiling: amounts(500, 256, 0, 0) };
      while ('code' in (await outcomeOf(async () => changes.resize(back, await changeOptions(drvmId)))));
    }
    isOver = true;
    await giving;
    expect(outcomes).toContain('StateConflict');
    await nothingGivenTwice();
  });

  it('do the same through every sequence of requests, and refuse the same', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyStep, { minLength: 1, maxLength: STEPS_MAX }), async (steps) => {
        await reset();
        const model = new LedgerModel(nodes);
        for (const [nth, step] of steps.entries()) {
          await both(step, model, `d${nth}`);
          await agree(model);
        }
      }),
      { numRuns: RUNS, endOnFailure: process.env.CI !== undefined },
    );
  }, 900_000);

  it('never give a unit twice, whatever eight clients ask for at once', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(anyStep, { minLength: 3, maxLength: 5 }), {
          minLength: CLIENTS,
          maxLength: CLIENTS,
        }),
        async (sequences) => {
          await reset();
          await Promise.all(sequences.map((steps, client) => oneClient(steps, client)));
          await nothingGivenTwice();
        },
      ),
      { numRuns: Math.max(2, Math.floor(RUNS / 10)), endOnFailure: true },
    );
  }, 900_000);
});

/** Works with its own DRVMs and competes with the others for the nodes; refusals are as good as successes. */
async function oneClient(steps: readonly Step[], client: number): Promise<void> {
  const own: string[] = [];
  for (const [nth, step] of steps.entries()) {
    const drvmId = 'drvm' in step ? own[step.drvm % Math.max(1, own.length)] : undefined;
    if (step.do === 'create') {
      const made = await outcomeOf(() => drvms.create(actor, newDrvm(step, `c${client}n${nth}`)));
      if ('code' in made) {
        expect(['InsufficientResources', 'InvalidInput']).toContain(made.code);
        continue;
      }
      await settle(made.value.drvm.id);
      own.push(made.value.drvm.id);
    } else if (drvmId === undefined) continue;
    else if (step.do === 'delete') {
      await database.system((tx) => tx.drvm.deleteMany({ where: { id: drvmId } }));
      own.splice(own.indexOf(drvmId), 1);
    } else if (step.do === 'resize') {
      const slice = await database.unrestricted.slice.findFirst({ where: { drvmId } });
      if (!slice) continue;
      const change = { drvmId, nodeId: slice.nodeId, guaranteed: step.to, ceiling: step.to };
      await outcomeOf(async () => changes.resize(change, await changeOptions(drvmId)));
    } else if (step.do === 'move') {
      const target = nodes[step.node];
      const source = await database.unrestricted.slice.findFirst({ where: { drvmId, isHome: false } });
      if (!target || !source) continue;
      const { cpuMilli, memoryMiB, diskGiB, networkMbps } = source;
      const guaranteed = amounts(cpuMilli, memoryMiB, diskGiB, networkMbps);
      const change = { drvmId, nodeId: target.id, guaranteed, ceiling: guaranteed };
      const done = await outcomeOf(async () => changes.add(change, await changeOptions(drvmId)));
      if ('value' in done) await database.system((tx) => tx.slice.deleteMany({ where: { id: source.id } }));
    }
  }
}

async function nothingGivenTwice(): Promise<void> {
  const { given } = await stateInDatabase();
  const slices = await database.unrestricted.slice.findMany();
  for (const { node, class: name, capacity, used } of given) {
    const here = slices.filter(({ nodeId }) => nodeId === node);
    const held = here.reduce((sum, slice) => sum + slice[name], 0);
    expect([node, name, used]).toEqual([node, name, held]);
    expect(used).toBeLessThanOrEqual(capacity);
    const keepers = here.filter(({ exclusive }) => exclusive);
    if (keepers.length > 0) expect(here).toHaveLength(1);
  }
}
