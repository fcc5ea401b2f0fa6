import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DrvsError } from '@drvs/contracts';
import { afterEach, expect, test } from '@jest/globals';
import { AgentWorld, groupsOf, SMALL } from './testing/agent-process.js';
import { until } from './testing/api-peer.js';

/** The spec of a container that runs is changed; nothing restarts. */

const BURN = new URL('../../../libs/dvos/dist/guest/burn.wasm', import.meta.url);
const DRVM = 'fisica';

let world: AgentWorld;
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

const errorOf = (promise: Promise<unknown>): Promise<DrvsError | null> =>
  promise.then(
    () => null,
    (thrown: unknown) => DrvsError.from(thrown),
  );

/** The limit that the host enforces; null where it has no such control group. */
function memoryLimitOf(data: string): number | null {
  for (const folder of groupsOf(data)) {
    for (const file of ['memory.limit_in_bytes', 'memory.max']) {
      const path = join(folder, 'drvms', DRVM, file);
      if (existsSync(path)) return Number(readFileSync(path, 'utf8'));
    }
  }
  return null;
}

const keptSpec = () =>
  JSON.parse(readFileSync(join(world.folder(DRVM), 'spec.json'), 'utf8')) as { generation: number };

test('limits grow and shrink while a program runs, twice the same is once, an older spec is refused', async () => {
  world = await AgentWorld.connected();
  const spec = await world.spec(DRVM);
  const started = (await world.api.call('drvm.start', spec, { timeoutMs: 60_000 })).result;
  await world.api.container(
    DRVM,
    'file.write',
    { path: '/bin/burn', parents: true, mode: 0o755 },
    { body: readFileSync(BURN) },
  );
  const { pid } = (
    await world.api.container(
      DRVM,
      'process.start',
      { program: '/bin/burn', args: ['100000'] },
      { timeoutMs: 60_000 },
    )
  ).result;

  const larger = { ...spec, generation: 2, limits: { ...SMALL, cpuMilli: 800, memoryMiB: 400 } };
  for (const _time of [1, 2]) {
    const { result } = await world.api.call('drvm.update', larger);
    expect(result).toMatchObject({ generation: 2, state: 'running', osPid: started.osPid, restarts: 0 });
    if (result.isolation.includes('cpu: cgroup')) expect(result.isolation).toContain('(800m)');
  }
  const limit = memoryLimitOf(world.data);
  if (limit !== null) expect(limit).toBe(400 * 1_048_576);
  expect((await errorOf(world.api.call('drvm.update', spec)))?.code).toBe('StaleGeneration');

  const smaller = { ...spec, generation: 3, limits: { ...SMALL, cpuMilli: 200, memoryMiB: 240 } };
  expect((await world.api.call('drvm.update', smaller)).result).toMatchObject({
    generation: 3,
    osPid: started.osPid,
    restarts: 0,
  });
  if (limit !== null) expect(memoryLimitOf(world.data)).toBe(240 * 1_048_576);
  const { result: rows } = await world.api.container(DRVM, 'process.list', {});
  expect(rows.map((row) => row.pid)).toEqual([pid]);
});

test('what is in use cannot be taken: the refusal has the figures, and nothing has changed', async () => {
  world = await AgentWorld.connected();
  const spec = await world.spec(DRVM);
  await world.api.call('drvm.start', spec, { timeoutMs: 60_000 });
  const tooSmall = { ...spec, generation: 2, limits: { ...SMALL, memoryMiB: 30 } };
  const error = await errorOf(world.api.call('drvm.update', tooSmall));
  expect(error?.code).toBe('StateConflict');
  expect(error?.details).toMatchObject({ class: 'memoryMiB', used: expect.any(Number), wanted: 30 });
  expect(await world.state(DRVM)).toMatchObject({ generation: 1, state: 'running', restarts: 0 });
  expect(keptSpec().generation).toBe(1);
  const limit = memoryLimitOf(world.data);
  if (limit !== null) expect(limit).toBe(SMALL.memoryMiB * 1_048_576);
});

test('a container that dies starts under the spec it was changed to, also with an agent that died with it', async () => {
  world = await AgentWorld.connected();
  const spec = await world.spec(DRVM);
  const { osPid } = (await world.api.call('drvm.start', spec, { timeoutMs: 60_000 })).result;
  const changed = { ...spec, generation: 2, limits: { ...SMALL, memoryMiB: 320 } };
  await world.api.call('drvm.update', changed);
  await world.kill('SIGKILL');
  process.kill(osPid as number, 'SIGKILL');
  world.spawn();
  await world.api.connected();
  await until('it runs again', async () => (await world.state(DRVM)).state === 'running', 60_000);
  const again = await world.state(DRVM);
  expect(again.generation).toBe(2);
  expect(again.osPid).not.toBe(osPid);
  if (again.isolation.includes('memory: cgroup')) expect(again.isolation).toContain('(320 MiB)');
});

test('a stopped container keeps its newer spec for its next start', async () => {
  world = await AgentWorld.connected();
  const spec = await world.spec(DRVM);
  await world.api.call('drvm.start', spec, { timeoutMs: 60_000 });
  await world.api.call('drvm.stop', { drvmId: DRVM, graceMs: 0 });
  const changed = { ...spec, generation: 2, limits: { ...SMALL, memoryMiB: 320 } };
  expect((await world.api.call('drvm.update', changed)).result).toMatchObject({
    state: 'stopped',
    generation: 2,
  });
  expect(keptSpec().generation).toBe(2);
});
