import type { ContainerPeer, ContainerSpec } from '@drvs/contracts';
import { afterEach, expect, test } from '@jest/globals';
import { AgentWorld, SMALL } from '../../apps/node-agent/src/testing/agent-process.js';
import { until } from '../../apps/node-agent/src/testing/api-peer.js';
import { scribe, scribed } from './programs.js';

/** A slice moves from one node to another under programs that write and print: real agents, real containers. */

const DRVM = 'fisica';
const LINES = 400;

let worlds: AgentWorld[] = [];
afterEach(async () => {
  for (const world of worlds) await world[Symbol.asyncDispose]();
  worlds = [];
});

/** The DRVM as its manager knows it: slices by index, each on the node of the agent of that place in `worlds`. */
class Manager {
  readonly peers = new Map<number, ContainerPeer>();
  readonly #certificates = new Map<number, string>();
  generation = 1;
  home = 0;
  homeEpoch = 0;

  async prepare(index: number): Promise<void> {
    const { api } = this.at(index);
    const { result } = await api.call('drvm.prepare', { drvmId: DRVM, index });
    const { certificate } = await worlds[0]!.authority.sign(result.certificateRequest);
    const { host, port } = result;
    const nodeName = `node${index + 1}`;
    this.peers.set(index, { index, nodeId: nodeName, nodeName, host, port });
    this.#certificates.set(index, certificate);
  }

  at(index: number): AgentWorld {
    return worlds[index]!;
  }

  spec(index: number): ContainerSpec {
    return {
      drvmId: DRVM,
      drvmName: DRVM,
      dvos: 'mol',
      generation: this.generation,
      index,
      home: this.home,
      homeEpoch: this.homeEpoch,
      limits: SMALL,
      peers: [...this.peers.values()],
      authorityCertificate: worlds[0]!.authority.pem,
      certificate: this.#certificates.get(index)!,
    };
  }

  async start(index: number): Promise<void> {
    await this.at(index).api.call('drvm.start', this.spec(index), { timeoutMs: 60_000 });
  }

  async update(indexes: Iterable<number> = this.peers.keys()): Promise<void> {
    for (const index of indexes) {
      const { result } = await this.at(index).api.call('drvm.update', this.spec(index), {
        timeoutMs: 60_000,
      });
      expect(result).toMatchObject({ generation: this.generation, restarts: 0 });
    }
  }

  async running(): Promise<void> {
    for (const index of this.peers.keys())
      await until(
        `container ${index} runs, linked to all`,
        async () => (await this.at(index).state(DRVM)).state === 'running',
        60_000,
      );
  }

  get homeApi(): AgentWorld['api'] {
    return this.at(this.home).api;
  }

  /** What moves a slice: a new one, the processes, home when it was there, and the old one goes. */
  async moveSlice(from: number, to: number): Promise<void> {
    this.generation++;
    await this.prepare(to);
    await this.start(to);
    await this.update([...this.peers.keys()].filter((index) => index !== to));
    await this.running();
    const nodeName = `node${from + 1}`;
    const { result: rows } = await this.homeApi.container(DRVM, 'process.list', {});
    for (const { pid, node } of rows) {
      if (node !== nodeName) continue;
      const request = { pid, to: `node${to + 1}`, requestKey: `${pid}-${from}-${to}` };
      await this.homeApi.container(DRVM, 'process.migrate', request, { timeoutMs: 60_000 });
    }
    if (this.home === from) {
      const request = { to, requestKey: `home-${from}-${to}` };
      const { result } = await this.homeApi.container(DRVM, 'home.move', request, { timeoutMs: 60_000 });
      expect(result).toMatchObject({ home: to, homeEpoch: this.homeEpoch + 1 });
      this.home = result.home;
      this.homeEpoch = result.homeEpoch;
    }
    this.generation++;
    this.peers.delete(from);
    await this.update();
    await this.at(from).api.call('drvm.delete', { drvmId: DRVM }, { timeoutMs: 60_000 });
  }

  /** What makes the slice of a lost node anew: a new one joins those that are left, and the lost one is a peer no more. */
  async rebuildSlice(lost: number, to: number): Promise<void> {
    this.generation++;
    await this.prepare(to);
    await this.start(to);
    await this.update([...this.peers.keys()].filter((index) => index !== to && index !== lost));
    await until(
      'the new container misses nobody but the lost one',
      async () => (await this.at(to).state(DRVM)).detail === `no link to node${lost + 1}`,
      60_000,
    );
    this.generation++;
    this.peers.delete(lost);
    await this.update();
  }
}

async function outputOf(
  world: AgentWorld,
  pid: number,
): Promise<{ text: string; exitCode: number | undefined }> {
  const pieces: Buffer[] = [];
  const { result } = await world.api.container(
    DRVM,
    'process.output',
    { pid, follow: true },
    { timeoutMs: 120_000, onChunk: (_params, body) => void pieces.push(Buffer.from(body)) },
  );
  return { text: Buffer.concat(pieces).toString(), exitCode: result.exit?.exitCode };
}

test('the slice that is home, then another one, move to new nodes: output and files are exact, nothing restarts', async () => {
  for (let node = 0; node < 4; node++) worlds.push(await AgentWorld.connected());
  const manager = new Manager();
  for (const index of [0, 1]) await manager.prepare(index);
  for (const index of [0, 1]) await manager.start(index);
  await manager.running();

  await manager.homeApi.container(DRVM, 'file.makeDirectory', { path: '/out', parents: true });
  const pids: number[] = [];
  for (const [index, node] of ['node1', 'node2'].entries()) {
    const body = scribe({ path: `out/${index}`, lines: LINES, sleepMs: 25 });
    await manager.homeApi.container(DRVM, 'file.write', { path: `/bin/${index}`, mode: 0o755 }, { body });
    const { result } = await manager.homeApi.container(
      DRVM,
      'process.start',
      { program: `/bin/${index}`, node },
      { timeoutMs: 60_000 },
    );
    pids.push(result.pid);
  }
  // Asked at a node that stays for the first move: it asks anew, by itself, where home is then.
  const followed = outputOf(manager.at(1), pids[0]!);
  await manager.moveSlice(0, 2);
  expect(await manager.at(0).api.call('drvm.list', {})).toMatchObject({ result: [] });
  await manager.running();
  expect(await followed).toEqual({ text: scribed(LINES).repeat(2), exitCode: 0 });

  await manager.moveSlice(1, 3);
  await manager.running();
  for (const [index, pid] of pids.entries()) {
    expect(await outputOf(manager.at(3), pid)).toEqual({ text: scribed(LINES).repeat(2), exitCode: 0 });
    const { body } = await manager.homeApi.container(DRVM, 'file.read', { path: `/out/${index}` });
    expect(Buffer.from(body).toString()).toBe(scribed(LINES));
  }
  for (const index of [2, 3])
    expect(await manager.at(index).state(DRVM)).toMatchObject({
      restarts: 0,
      detail: '',
      home: { index: 2, epoch: 1 },
    });
  const told = worlds.flatMap(({ api }) => api.events.map(({ kind, text }) => `${kind} ${text}`));
  expect(told.filter((text) => text.startsWith('peer.lost'))).toEqual([]);
  expect(told.filter((text) => text.startsWith('home.moved'))).toHaveLength(1);
}, 180_000);

test('home and its node die with kill -9 between the move and the next specs: they are what they were', async () => {
  for (let node = 0; node < 2; node++) worlds.push(await AgentWorld.connected());
  const manager = new Manager();
  for (const index of [0, 1]) await manager.prepare(index);
  for (const index of [0, 1]) await manager.start(index);
  await manager.running();
  const body = Buffer.from('kept');
  await manager.homeApi.container(DRVM, 'file.write', { path: '/kept', mode: 0o644 }, { body });
  await manager.homeApi.container(DRVM, 'home.move', { to: 1, requestKey: 'once' }, { timeoutMs: 60_000 });
  for (const world of worlds) {
    const { osPid } = await world.state(DRVM);
    await world.kill('SIGKILL');
    process.kill(osPid as number, 'SIGKILL');
  }
  for (const world of worlds) {
    world.spawn();
    await world.api.connected();
  }
  await manager.running();
  for (const world of worlds) {
    expect((await world.state(DRVM)).home).toEqual({ index: 1, epoch: 1 });
    const { body: found } = await world.api.container(DRVM, 'file.read', { path: '/kept' });
    expect(Buffer.from(found).toString()).toBe('kept');
  }
}, 120_000);

test('a slice of a node that is lost is made anew on another: the rest goes on, and what comes back is not let in', async () => {
  for (let node = 0; node < 4; node++) worlds.push(await AgentWorld.connected());
  const manager = new Manager();
  for (const index of [0, 1, 2]) await manager.prepare(index);
  for (const index of [0, 1, 2]) await manager.start(index);
  await manager.running();
  await manager.homeApi.container(DRVM, 'file.makeDirectory', { path: '/out', parents: true });
  const run = async (name: string, node: string, lines: number): Promise<number> => {
    const body = scribe({ path: `out/${name}`, lines, sleepMs: 25 });
    await manager.homeApi.container(DRVM, 'file.write', { path: `/bin/${name}`, mode: 0o755 }, { body });
    const request = { program: `/bin/${name}`, node };
    return (await manager.homeApi.container(DRVM, 'process.start', request, { timeoutMs: 60_000 })).result
      .pid;
  };
  const kept = await run('kept', 'node2', LINES);
  const lost = await run('lost', 'node3', 100_000);

  // The node goes as a whole: its agent, and its container.
  const { osPid } = await manager.at(2).state(DRVM);
  await manager.at(2).kill('SIGKILL');
  process.kill(osPid as number, 'SIGKILL');
  const { result: exit } = await manager.homeApi.container(
    DRVM,
    'process.wait',
    { pid: lost },
    { timeoutMs: 60_000 },
  );
  expect(exit).toMatchObject({ exitCode: 137, reason: expect.stringContaining('node lost: node3') });

  await manager.rebuildSlice(2, 3);
  await manager.running();
  // The new one is a node as any other: programs begin there, and come there.
  const anew = await run('anew', 'node4', 20);
  const moves = await run('moves', 'node2', LINES);
  const request = { pid: moves, to: 'node4', requestKey: 'to-the-new-one' };
  const { result: moved } = await manager.homeApi.container(DRVM, 'process.migrate', request, {
    timeoutMs: 60_000,
  });
  expect(moved).toMatchObject({ from: 'node2', to: 'node4' });
  for (const [name, pid, lines] of [
    ['kept', kept, LINES],
    ['anew', anew, 20],
    ['moves', moves, LINES],
  ] as const) {
    expect(await outputOf(manager.at(3), pid)).toEqual({ text: scribed(lines).repeat(2), exitCode: 0 });
    const { body } = await manager.homeApi.container(DRVM, 'file.read', { path: `/out/${name}` });
    expect(Buffer.from(body).toString()).toBe(scribed(lines));
  }

  // What was lost comes back with what it knew: it finds no one, disturbs no one, and is removed.
  manager.at(2).spawn();
  await manager.at(2).api.connected();
  await until(
    'its container is up, alone',
    async () => (await manager.at(2).state(DRVM)).state === 'degraded',
    60_000,
  );
  for (const index of [0, 1, 3])
    expect(await manager.at(index).state(DRVM)).toMatchObject({ state: 'running', detail: '', restarts: 0 });
  await manager.at(2).api.call('drvm.delete', { drvmId: DRVM }, { timeoutMs: 60_000 });
  expect(await manager.at(2).api.call('drvm.list', {})).toMatchObject({ result: [] });
  const { result: rows } = await manager.homeApi.container(DRVM, 'process.list', {});
  expect(rows.filter(({ node }) => node === 'node3')).toEqual([]);
}, 180_000);
