import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { ContainerSpec } from '@drvs/contracts';
import { afterEach, expect, test } from '@jest/globals';
import { AgentWorld, SMALL } from './testing/agent-process.js';
import { until } from './testing/api-peer.js';

/** One DRVM over two nodes, each with an agent of its own. */

const PROGRAM = new URL('../../../libs/dvos/dist/guest/burn.wasm', import.meta.url);
const CAT = new URL('../../../libs/dvos/dist/guest/cat.wasm', import.meta.url);
const DRVM = 'fisica';

const sensorOf = (world: AgentWorld): string => join(world.data, 'sensor');

let worlds: AgentWorld[] = [];
afterEach(async () => {
  for (const world of worlds) await world[Symbol.asyncDispose]();
  worlds = [];
});

/** The node that is not home declares a FIFO as its device `sensor`. */
async function twoNodes(): Promise<[AgentWorld, AgentWorld]> {
  const home = await AgentWorld.connected();
  worlds.push(home);
  const other = await AgentWorld.create();
  worlds.push(other);
  execFileSync('mkfifo', ['-m', '600', sensorOf(other)]);
  other.spawn({ DRVS_DEVICES: `sensor=${sensorOf(other)}` });
  await other.api.connected();
  const pair: [AgentWorld, AgentWorld] = [home, other];
  const places = await Promise.all(
    pair.map(async ({ api }, index) => (await api.call('drvm.prepare', { drvmId: DRVM, index })).result),
  );
  const peers = places.map(({ host, port }, index) => ({
    index,
    nodeId: `id${index}`,
    nodeName: `node${index + 1}`,
    host,
    port,
  }));
  await Promise.all(
    pair.map(async ({ api }, index) => {
      const { certificate } = await home.authority.sign(places[index]?.certificateRequest as string);
      const spec: ContainerSpec = {
        drvmId: DRVM,
        drvmName: DRVM,
        dvos: 'mol',
        generation: 1,
        index,
        home: 0,
        limits: SMALL,
        peers,
        authorityCertificate: home.authority.pem,
        certificate,
      };
      await api.call('drvm.start', spec, { timeoutMs: 60_000 });
    }),
  );
  await until('both are linked', async () => (await home.state(DRVM)).state === 'running');
  return pair;
}

test('a device of one node is given to the running DRVM, read on the other node, and taken away', async () => {
  const [home, other] = await twoNodes();
  const path = sensorOf(other);
  const before = statSync(path);
  const spec = JSON.parse(readFileSync(join(other.folder(DRVM), 'spec.json'), 'utf8')) as ContainerSpec;
  const give = (generation: number, devices: ContainerSpec['devices']) =>
    other.api.call('drvm.update', { ...spec, generation, devices });
  const secret = { key: 'character:secret', name: 'secret', path: '/dev/mem' };
  await give(2, [{ key: 'character:sensor', name: 'sensor', path }, secret]);
  const [program, file] = ['/bin/cat.wasm', '/dev/host/node2/sensor'];
  await home.api.container(DRVM, 'file.write', { path: program, parents: true }, { body: readFileSync(CAT) });
  await until('the device is there', async () => {
    const { result } = await home.api.container(DRVM, 'file.list', { path: '/dev' });
    return result.some(({ path: each }) => each === '/dev/host');
  });
  const { result } = await home.api.container(DRVM, 'file.list', { path: '/dev/host/node2' });
  // What this agent has not found it does not give, whoever asks.
  expect(result.map(({ path: each }) => each)).toEqual([file]);
  const start = { program, args: [file], node: 'node1' };
  const { pid } = (await home.api.container(DRVM, 'process.start', start, { timeoutMs: 60_000 })).result;
  const pieces: Buffer[] = [];
  const output = home.api.container(
    DRVM,
    'process.output',
    { pid, follow: true },
    { timeoutMs: 60_000, onChunk: (_params, body) => void pieces.push(Buffer.from(body)) },
  );
  // What is in a FIFO that nobody has open is lost: this end stays open.
  const end = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  writeSync(end, 'it is warm\n');
  await until('it is read', () => Buffer.concat(pieces).toString('utf8') === 'it is warm\n');
  await give(3, []);
  closeSync(end);
  const { exit } = (await output).result;
  expect(exit?.exitCode).toBe(1);
  expect(Buffer.concat(pieces).toString('utf8')).toContain(`cannot read ${file}: error 43`);
  const after = statSync(path);
  expect([after.uid, after.mode]).toEqual([before.uid, before.mode]);
}, 120_000);

test('a process moves to the other node and ends as if it had not, though both agents are killed on the way', async () => {
  const [home, other] = await twoNodes();
  await home.api.container(
    DRVM,
    'file.write',
    { path: '/bin/burn.wasm', parents: true, mode: 0o755 },
    { body: readFileSync(PROGRAM) },
  );
  const { pid } = (
    await home.api.container(
      DRVM,
      'process.start',
      { program: '/bin/burn.wasm', args: ['300'], node: 'node1' },
      { timeoutMs: 60_000 },
    )
  ).result;
  const request = { pid, to: 'node2', requestKey: 'once' };
  const moved = (await home.api.container(DRVM, 'process.migrate', request)).result;
  expect(moved).toMatchObject({ pid, from: 'node1', to: 'node2' });
  // The same request again is the same migration.
  const { bytes, pauseMs } = moved;
  expect((await home.api.container(DRVM, 'process.migrate', request)).result).toMatchObject({
    pid,
    bytes,
    pauseMs,
  });
  await Promise.all([home.kill('SIGKILL'), other.kill('SIGKILL')]);
  home.spawn();
  other.spawn();
  await Promise.all([home.api.connected(), other.api.connected()]);
  await until('home is taken up again', async () => (await home.state(DRVM)).state === 'running');
  // Asked at the node that is not home, it is passed on.
  await until('the other is taken up again', async () => (await other.state(DRVM)).state === 'running');
  const { result: exit } = await other.api.container(DRVM, 'process.wait', { pid }, { timeoutMs: 60_000 });
  expect(exit).toMatchObject({ exitCode: 0, signal: null });
  const pieces: Buffer[] = [];
  await home.api.container(
    DRVM,
    'process.output',
    { pid },
    { onChunk: (_params, body) => void pieces.push(Buffer.from(body)) },
  );
  expect(Buffer.concat(pieces).toString('utf8')).toMatch(/^300 million rounds: \d+\n$/);
  // What it took to get there is told by both, with the name of the process that counted it.
  const size = readFileSync(PROGRAM).length;
  await until('their counters are told', async () => {
    const [sender, receiver] = [await home.state(DRVM), await other.state(DRVM)];
    return (sender.io?.writtenBytes ?? 0) >= size && (receiver.network?.receivedBytes ?? 0) > bytes;
  });
  const [sender, receiver] = [await home.state(DRVM), await other.state(DRVM)];
  expect(sender.network?.sentBytes).toBeGreaterThan(bytes);
  expect(sender.io?.operations).toBeGreaterThan(0);
  expect(receiver.io).toEqual({ readBytes: 0, writtenBytes: 0, operations: 0 });
  expect(sender.incarnation).not.toBe(receiver.incarnation);
}, 120_000);

test('a container that is lost takes its processes with it, says so, and is linked again when it is back', async () => {
  const [home, other] = await twoNodes();
  await home.api.container(
    DRVM,
    'file.write',
    { path: '/bin/burn.wasm', parents: true, mode: 0o755 },
    { body: readFileSync(PROGRAM) },
  );
  const { pid } = (
    await home.api.container(
      DRVM,
      'process.start',
      { program: '/bin/burn.wasm', args: ['100000'], node: 'node2' },
      { timeoutMs: 60_000 },
    )
  ).result;
  const homePid = (await home.state(DRVM)).osPid;
  process.kill((await other.state(DRVM)).osPid as number, 'SIGKILL');
  const { result: exit } = await home.api.container(DRVM, 'process.wait', { pid }, { timeoutMs: 60_000 });
  expect(exit).toMatchObject({ exitCode: 137, reason: expect.stringContaining('lost') });
  await until('both are linked again', async () => (await home.state(DRVM)).state === 'running');
  await until('the other runs', async () => (await other.state(DRVM)).state === 'running');
  expect(await home.state(DRVM)).toMatchObject({ osPid: homePid, restarts: 0 });
}, 120_000);
