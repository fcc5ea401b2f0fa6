import { readFileSync } from 'node:fs';
import type { ContainerSpec } from '@drvs/contracts';
import { afterEach, expect, test } from '@jest/globals';
import { AgentWorld, SMALL } from './testing/agent-process.js';
import { until } from './testing/api-peer.js';

/** One DRVM over two nodes, each with an agent of its own. */

const PROGRAM = new URL('../../../libs/dvos/dist/guest/burn.wasm', import.meta.url);
const DRVM = 'fisica';

let worlds: AgentWorld[] = [];
afterEach(async () => {
  for (const world of worlds) await world[Symbol.asyncDispose]();
  worlds = [];
});

async function twoNodes(): Promise<[AgentWorld, AgentWorld]> {
  const home = await AgentWorld.connected();
  worlds.push(home);
  const other = await AgentWorld.connected();
  worlds.push(other);
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
