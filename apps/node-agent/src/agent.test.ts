import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { DrvsError } from '@drvs/contracts';
import { afterEach, expect, test } from '@jest/globals';
import { findContainers } from './supervisor/host-processes.js';
import { AgentWorld, groupsOf, SMALL } from './testing/agent-process.js';
import { until } from './testing/api-peer.js';

/** The agent as a process, with real containers: what it promises to the API and to the host. */

let world: AgentWorld;

afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

const errorOf = (promise: Promise<unknown>): Promise<DrvsError> =>
  promise.then(
    () => {
      throw new Error('it did not fail');
    },
    (error: unknown) => DrvsError.from(error),
  );

test('an agent enrols once, keeps its credential to itself, and says what its host has', async () => {
  world = await AgentWorld.connected();
  const { api } = world;
  await until('inventory and heartbeat came', () => api.inventories.length > 0 && api.heartbeats.length > 0);
  expect(api.enrolments).toHaveLength(1);
  expect(api.enrolments[0]).toMatchObject({ name: 'node1', token: 'one-time' });
  expect(statSync(join(world.data, 'credential.json')).mode & 0o777).toBe(0o600);
  const inventory = api.inventories[0];
  expect(inventory?.offered).toMatchObject({ cpuMilli: 1_000, memoryMiB: 1_024, diskGiB: 1 });
  expect(inventory?.host.cpuMilli).toBeGreaterThanOrEqual(1_000);
  expect(inventory?.interfaces.map(({ name }) => name)).toContain('lo');
  await world.kill('SIGTERM');
  world.spawn();
  await api.connected();
  expect(api.enrolments).toHaveLength(1);
});

test('a token that is not valid ends the agent with the reason and the remedy', async () => {
  world = await AgentWorld.create();
  world.spawn({ DRVS_ENROL_TOKEN: 'used before' });
  expect(await world.exitCode()).toBe(1);
  const error = JSON.parse(world.output.join('').trim().split('\n').at(-1) as string);
  expect(error).toMatchObject({ code: 'NotAuthenticated', message: expect.stringContaining('not valid') });
  expect(error.hint).toContain('enroll-token');
});

test('a revoked credential is said clearly, and containers run on', async () => {
  world = await AgentWorld.connected();
  const before = await world.start('fisica');
  world.api.credentials.clear();
  world.api.dropConnections();
  await until('the agent was refused', () => world.api.refusedChannels > 0);
  await until('it says so', () => world.output.join('').includes('revoked'));
  expect(findContainers(world.folder('fisica')).map(({ pid }) => pid)).toContain(before.osPid);
});

test('two agents on one data folder are refused', async () => {
  world = await AgentWorld.connected();
  const first = world.agentPid;
  const second = world.spawn();
  const code = await new Promise((resolve) => second.once('exit', resolve));
  expect(code).toBe(1);
  expect(world.output.join('')).toContain(`another agent (process ${first}) uses the data folder`);
  process.kill(first, 'SIGKILL');
});

test('a prepared and started DRVM runs; doing both again changes nothing', async () => {
  world = await AgentWorld.connected();
  const { api } = world;
  const spec = await world.spec('fisica');
  const state = (await api.call('drvm.start', spec, { timeoutMs: 60_000 })).result;
  expect(state).toMatchObject({ drvmId: 'fisica', state: 'running', generation: 1, restarts: 0 });
  const again = (await api.call('drvm.start', spec)).result;
  expect(again.osPid).toBe(state.osPid);
  const prepared = (await api.call('drvm.prepare', { drvmId: 'fisica', index: 0 })).result;
  expect(prepared.port).toBe(spec.peers[0]?.port);
  const status = (await api.container('fisica', 'container.status', {})).result;
  expect(status).toMatchObject({ drvmId: 'fisica', index: 0, state: 'running' });
  expect(statSync(join(world.folder('fisica'), 'key.pem')).mode & 0o777).toBe(0o600);
  expect(statSync(join(world.folder('fisica'), 'run', 'control.sock')).mode & 0o777).toBe(0o600);
});

test('the certificate request names DRVM and index and is signed by a key that stays here', async () => {
  world = await AgentWorld.connected();
  const { result } = await world.api.call('drvm.prepare', { drvmId: 'fisica', index: 0 });
  const { subject } = await world.authority.sign(result.certificateRequest);
  expect(subject).toBe('CN=drvs:fisica:0');
  expect(result.certificateRequest).not.toContain('PRIVATE');
});

test('an older generation never replaces a newer, and a foreign certificate is refused', async () => {
  world = await AgentWorld.connected();
  const { api } = world;
  const spec = await world.spec('fisica', { generation: 7 });
  await api.call('drvm.start', spec, { timeoutMs: 60_000 });
  const older = await errorOf(api.call('drvm.start', { ...spec, generation: 6 }));
  expect(older.code).toBe('StaleGeneration');
  expect(older.message).toContain('generation 6');
  const other = await world.spec('quimica');
  const foreign = await errorOf(
    api.call('drvm.start', { ...spec, generation: 8, certificate: other.certificate }),
  );
  expect(foreign.code).toBe('StateConflict');
  expect((await world.state('fisica')).generation).toBe(7);
});

test('a newer generation reaches the running container without a restart', async () => {
  world = await AgentWorld.connected();
  const { api } = world;
  const spec = await world.spec('fisica');
  const before = (await api.call('drvm.start', spec, { timeoutMs: 60_000 })).result;
  const limits = { ...SMALL, cpuMilli: 300 };
  const after = (await api.call('drvm.start', { ...spec, generation: 2, limits })).result;
  expect(after).toMatchObject({ generation: 2, osPid: before.osPid });
  expect(after.isolation).toContain('300m');
});

test('containers survive kill -9 of their agent, and the next agent takes them up', async () => {
  world = await AgentWorld.connected();
  const before = await world.start('fisica');
  await world.kill('SIGKILL');
  expect(findContainers(world.folder('fisica')).map(({ pid }) => pid)).toContain(before.osPid);
  world.spawn();
  await world.api.connected();
  await until('the container is running', async () => (await world.state('fisica')).state === 'running');
  expect(await world.state('fisica')).toMatchObject({ osPid: before.osPid, restarts: 0, generation: 1 });
  const { result } = await world.api.container('fisica', 'container.status', {});
  expect(result.state).toBe('running');
});

test('a container that died while no agent was there is started again without the API', async () => {
  world = await AgentWorld.connected();
  const before = await world.start('fisica');
  await world.kill('SIGKILL');
  process.kill(before.osPid as number, 'SIGKILL');
  await world.api.close();
  world.spawn();
  await until('a new container listens', () =>
    findContainers(world.folder('fisica')).some(
      ({ pid, role }) => role === 'container' && pid !== before.osPid,
    ),
  );
});

test('a container killed with kill -9 comes back with the same files and port', async () => {
  world = await AgentWorld.connected();
  const before = await world.start('fisica');
  process.kill(before.osPid as number, 'SIGKILL');
  await until('another process runs', async () => {
    const { state, osPid } = await world.state('fisica');
    return state === 'running' && osPid !== before.osPid;
  });
  const state = await world.state('fisica');
  expect(state.restarts).toBe(1);
});

test('stop ends the container and keeps its files, also over a restart of the agent; start brings it back', async () => {
  world = await AgentWorld.connected();
  const { api } = world;
  const spec = await world.spec('fisica');
  await api.call('drvm.start', spec, { timeoutMs: 60_000 });
  await api.call('drvm.stop', { drvmId: 'fisica', graceMs: 1_000 });
  expect(findContainers(world.folder('fisica'))).toEqual([]);
  expect(await world.state('fisica')).toMatchObject({ state: 'stopped', osPid: null });
  const refused = await errorOf(api.container('fisica', 'process.list', {}));
  expect(refused.code).toBe('ContainerUnreachable');
  await world.kill('SIGTERM');
  world.spawn();
  await api.connected();
  expect(await world.state('fisica')).toMatchObject({ state: 'stopped', osPid: null });
  expect((await api.call('drvm.start', spec, { timeoutMs: 60_000 })).result.state).toBe('running');
});

test('delete leaves nothing: no process, no file, no control group; and may be done twice', async () => {
  world = await AgentWorld.connected();
  await world.start('fisica');
  await world.start('quimica');
  const quimica = await world.state('quimica');
  await world.api.call('drvm.delete', { drvmId: 'fisica' });
  await world.api.call('drvm.delete', { drvmId: 'fisica' });
  expect(existsSync(world.folder('fisica'))).toBe(false);
  expect(findContainers(world.folder('fisica'))).toEqual([]);
  for (const folder of groupsOf(world.data)) {
    expect(readdirSync(join(folder, 'drvms'))).not.toContain('fisica');
  }
  expect(await world.state('quimica')).toMatchObject({ state: 'running', osPid: quimica.osPid });
});

test('ids that are no ids never become paths', async () => {
  world = await AgentWorld.connected();
  for (const drvmId of ['../other', '', 'a/b', '.', 'x'.repeat(100)]) {
    expect((await errorOf(world.api.call('drvm.delete', { drvmId }))).code).toBe('InvalidInput');
    expect((await errorOf(world.api.call('drvm.prepare', { drvmId, index: 0 }))).code).toBe('InvalidInput');
  }
});

test('garbage on the control socket costs its sender the connection and the container nothing', async () => {
  world = await AgentWorld.connected();
  const before = await world.start('fisica');
  for (const garbage of [
    Buffer.alloc(64, 0xff),
    Buffer.from('\0\0\0\x08{"t":"??'),
    Buffer.from('\0\0\0\x02hi'),
  ]) {
    const socket = connect(join(world.folder('fisica'), 'run', 'control.sock'));
    socket.on('error', () => {});
    socket.write(garbage);
    await new Promise((resolve) => socket.once('close', resolve));
  }
  const { result } = await world.api.container('fisica', 'container.status', {});
  expect(result.state).toBe('running');
  expect((await world.state('fisica')).osPid).toBe(before.osPid);
});

test('an API that goes away and comes back finds the same containers', async () => {
  world = await AgentWorld.connected();
  const before = await world.start('fisica');
  world.api.dropConnections();
  await until('the channel is down', () => world.api.agent === null);
  await world.api.connected();
  expect(await world.state('fisica')).toMatchObject({ state: 'running', osPid: before.osPid });
  expect(world.api.connections).toBe(2);
});

test('a port taken by another program is reported, and the container starts when it is free', async () => {
  world = await AgentWorld.connected();
  const { api } = world;
  const spec = await world.spec('fisica');
  await api.call('drvm.start', spec, { timeoutMs: 60_000 });
  await api.call('drvm.stop', { drvmId: 'fisica', graceMs: 0 });
  const { createServer } = await import('node:net');
  const squatter = createServer();
  await new Promise<void>((resolve) => squatter.listen(spec.peers[0]?.port, '127.0.0.1', resolve));
  try {
    const refused = await errorOf(api.call('drvm.start', spec, { timeoutMs: 60_000 }));
    expect(refused.message).toContain(`port ${spec.peers[0]?.port}`);
  } finally {
    await new Promise((resolve) => squatter.close(resolve));
  }
  await until('it runs', async () => (await world.state('fisica')).state === 'running');
});

test('stop-containers stops what an agent left running, and the next agent starts it again', async () => {
  world = await AgentWorld.connected();
  const before = await world.start('fisica');
  await world.kill('SIGTERM');
  expect(findContainers(world.folder('fisica')).map(({ pid }) => pid)).toContain(before.osPid);
  world.spawn({}, ['stop-containers']);
  expect(await world.exitCode()).toBe(0);
  expect(findContainers(world.folder('fisica'))).toEqual([]);
  world.spawn();
  await world.api.connected();
  await until('it runs again', async () => (await world.state('fisica')).state === 'running');
});

test('the agent never shows a key, a token or its credential in its log', async () => {
  world = await AgentWorld.connected();
  await world.start('fisica');
  const log = world.output.join('');
  const key = readFileSync(join(world.folder('fisica'), 'key.pem'), 'utf8').split('\n')[1] as string;
  for (const secret of ['one-time', 'credential-of', key]) expect(log).not.toContain(secret);
});

test('a DRVM whose files are damaged keeps no other from running, and can be deleted with what runs of it', async () => {
  world = await AgentWorld.connected();
  await world.start('fisica');
  await world.start('quimica');
  await world.kill('SIGKILL');
  writeFileSync(join(world.folder('fisica'), 'spec.json'), '{"drvmId":');
  world.spawn();
  await world.api.connected();
  await until('the other runs', async () => (await world.state('quimica')).state === 'running');
  expect((await world.api.call('drvm.list', {})).result.map(({ drvmId }) => drvmId)).toEqual(['quimica']);
  expect(findContainers(world.folder('fisica'))).not.toEqual([]);
  await world.api.call('drvm.delete', { drvmId: 'fisica' });
  expect(existsSync(world.folder('fisica'))).toBe(false);
  await until('nothing of it runs', () => findContainers(world.folder('fisica')).length === 0);
});

test('a container with the smallest share of CPU starts too', async () => {
  world = await AgentWorld.connected();
  const state = await world.start('fisica', { limits: { ...SMALL, cpuMilli: 50, memoryMiB: 192 } });
  expect(state.state).toBe('running');
});

test('a stop does not wait for a start that takes long', async () => {
  world = await AgentWorld.connected();
  const spec = await world.spec('fisica', { limits: { ...SMALL, cpuMilli: 50 } });
  const starting = errorOf(world.api.call('drvm.start', spec, { timeoutMs: 60_000 }));
  await until('a process is there', () => findContainers(world.folder('fisica')).length > 0);
  await world.api.call('drvm.stop', { drvmId: 'fisica', graceMs: 0 });
  expect((await starting).code).toBe('Cancelled');
  expect(findContainers(world.folder('fisica'))).toEqual([]);
  expect((await world.state('fisica')).state).toBe('stopped');
});
