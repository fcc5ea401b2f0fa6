import { readFileSync } from 'node:fs';
import { DrvsError } from '@drvs/contracts';
import { afterEach, expect, test } from '@jest/globals';
import { AgentWorld, SMALL } from './testing/agent-process.js';
import { until } from './testing/api-peer.js';

/** Programs in a real container, reached as the API reaches them: through the agent. */

const PROGRAMS = new URL('../../../libs/dvos/dist/guest/', import.meta.url);

let world: AgentWorld;
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

async function put(path: string, bytes: Uint8Array): Promise<void> {
  await world.api.container(
    'fisica',
    'file.write',
    { path, parents: true, truncate: true, mode: 0o755 },
    { body: bytes },
  );
}

async function outputOf(pid: number): Promise<{ text: string; exitCode: number | undefined }> {
  const pieces: Buffer[] = [];
  const { result } = await world.api.container(
    'fisica',
    'process.output',
    { pid, follow: true },
    { timeoutMs: 60_000, onChunk: (_params, body) => void pieces.push(Buffer.from(body)) },
  );
  return { text: Buffer.concat(pieces).toString('utf8'), exitCode: result.exit?.exitCode };
}

test('a program is made ready by the agent, runs in the container, and its output comes back', async () => {
  world = await AgentWorld.connected();
  await world.start('fisica');
  await put('/bin/hello.wasm', readFileSync(new URL('hello.wasm', PROGRAMS)));
  const { result } = await world.api.container(
    'fisica',
    'process.start',
    { program: '/bin/hello.wasm' },
    { timeoutMs: 60_000 },
  );
  expect(result.node).toBe('node1');
  const { text, exitCode } = await outputOf(result.pid);
  expect(text).toMatch(/hello/i);
  expect(exitCode).toBe(0);
  await until('its end is told', () =>
    world.api.events.some((event) => event.kind === 'process.exited' && event.pid === result.pid),
  );
});

test('what is no program is refused with the reason, and the container runs on', async () => {
  world = await AgentWorld.connected();
  const before = await world.start('fisica');
  await put('/bin/text', Buffer.from('#!/bin/sh\n'));
  const error = await world.api.container('fisica', 'process.start', { program: '/bin/text' }).then(
    () => null,
    (thrown: unknown) => DrvsError.from(thrown),
  );
  expect(error?.code).toBe('NotWebAssembly');
  expect((await world.state('fisica')).osPid).toBe(before.osPid);
});

test('files come back byte for byte, also after kill -9 of agent and container', async () => {
  world = await AgentWorld.connected();
  const before = await world.start('fisica');
  const bytes = Buffer.from(Array.from({ length: 900_000 }, (_, at) => (at * 7) % 251));
  await put('/data/file', bytes);
  // Writes reach the disk within a fraction of a second.
  await new Promise((resolve) => setTimeout(resolve, 700));
  await world.kill('SIGKILL');
  process.kill(before.osPid as number, 'SIGKILL');
  world.spawn();
  await world.api.connected();
  await until('it runs again', async () => (await world.state('fisica')).state === 'running');
  const { body } = await world.api.container('fisica', 'file.read', { path: '/data/file' });
  expect(Buffer.from(body).equals(bytes)).toBe(true);
});

test('a program that takes all the CPU it can get stays within the DRVM’s share, and the heartbeat shows it', async () => {
  world = await AgentWorld.connected();
  const { isolation } = await world.start('fisica', { limits: { ...SMALL, cpuMilli: 250 } });
  if (!isolation.includes('cpu: cgroup')) return console.log(`skipped: ${isolation}`);
  await put('/bin/burn.wasm', readFileSync(new URL('burn.wasm', PROGRAMS)));
  const { result } = await world.api.container(
    'fisica',
    'process.start',
    { program: '/bin/burn.wasm', args: ['100000'] },
    { timeoutMs: 60_000 },
  );
  const from = { at: performance.now(), cpuMs: (await world.state('fisica')).cpuMs };
  await new Promise((resolve) => setTimeout(resolve, 4_500));
  const spent = (await world.state('fisica')).cpuMs - from.cpuMs;
  const share = spent / (performance.now() - from.at);
  expect(share).toBeGreaterThan(0.15);
  expect(share).toBeLessThan(0.3);
  const { used, containers } = world.api.heartbeats.at(-1) ?? { used: { cpuMilli: 0 }, containers: [] };
  expect(used.cpuMilli).toBeGreaterThan(150);
  expect(used.cpuMilli).toBeLessThan(300);
  expect(containers[0]).toMatchObject({ drvmId: 'fisica', processes: 1 });
  await world.api.container('fisica', 'process.kill', { pid: result.pid, signal: 'SIGKILL' });
  const { result: exit } = await world.api.container('fisica', 'process.wait', { pid: result.pid });
  expect(exit.exitCode).toBe(137);
});

test('a caller that gives up ends its wait in the container, not the process', async () => {
  world = await AgentWorld.connected();
  await world.start('fisica');
  await put('/bin/burn.wasm', readFileSync(new URL('burn.wasm', PROGRAMS)));
  const { result } = await world.api.container(
    'fisica',
    'process.start',
    { program: '/bin/burn.wasm', args: ['100000'] },
    { timeoutMs: 60_000 },
  );
  const abort = new AbortController();
  const waiting = world.api
    .container('fisica', 'process.wait', { pid: result.pid }, { signal: abort.signal })
    .then(
      () => null,
      (thrown: unknown) => DrvsError.from(thrown),
    );
  setTimeout(() => abort.abort(), 100);
  expect((await waiting)?.code).toBe('Cancelled');
  const { result: rows } = await world.api.container('fisica', 'process.list', {});
  expect(rows.map(({ pid, exitCode }) => ({ pid, exitCode }))).toEqual([{ pid: result.pid, exitCode: null }]);
});
