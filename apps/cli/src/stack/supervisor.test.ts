import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type DataFolder, dataFolder, makeFolders } from './data-folder.js';
import { LocalPowerServer, localPowerSocket } from './local-power.js';
import { takeLock } from './lock.js';
import { rotate, tail } from './log-file.js';
import type { Part } from './parts.js';
import { identify, isAlive } from './process-identity.js';
import { readRunFile, writeRunFile } from './run-file.js';
import { statusOf } from './status.js';
import { pauseBefore, Supervisor, stopOrder } from './supervisor.js';

let folder: DataFolder;
let order: string[];
const said: string[] = [];
beforeEach(async () => {
  folder = dataFolder(await mkdtemp(join(tmpdir(), 'drvs-supervisor-')));
  await makeFolders(folder);
  order = [];
});
afterEach(() => rm(folder.root, { recursive: true }));

/** A part that is a shell; it is healthy while its file is there. */
function shellPart(name: string, script: string, after: string[] = []): Part {
  const ready = join(folder.root, `${name}.ready`);
  return {
    name,
    after,
    stopSignal: 'SIGTERM',
    stopGraceMs: 2_000,
    launch: async () => {
      order.push(name);
      return {
        command: '/bin/sh',
        args: ['-c', script.replaceAll('$READY', ready)],
        env: { PATH: process.env.PATH },
      };
    },
    health: async () => ({ isHealthy: existsSync(ready), detail: 'the file' }),
  };
}

const LIVES = 'touch $READY; while :; do sleep 0.05; done';

function supervise(parts: Part[]): Supervisor {
  const self = identify(process.pid)!;
  const supervisor = new Supervisor(folder, parts, 'http://x', self, readRunFile(folder), (text) =>
    said.push(text),
  );
  void supervisor.run();
  return supervisor;
}

async function until<T>(look: () => T | null | undefined | false): Promise<T> {
  for (const deadline = performance.now() + 15_000; ; ) {
    const found = look();
    if (found) return found;
    if (performance.now() > deadline) throw new Error(`it did not happen: ${look}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
/** One line to the socket, one back. */
async function ask(path: string, line: string): Promise<unknown> {
  const socket = connect(path);
  socket.write(`${line}\n`);
  let text = '';
  for await (const chunk of socket) text += String(chunk);
  return JSON.parse(text);
}
const partOf = (name: string) => readRunFile(folder)?.parts.find((part) => part.name === name);

describe('the supervisor', () => {
  test('starts each part after those it needs, and tells when all are healthy', async () => {
    const supervisor = supervise([
      shellPart('api', LIVES, ['postgres']),
      shellPart('postgres', `sleep 0.3; ${LIVES}`),
    ]);
    await until(() => readRunFile(folder)?.state === 'running');
    expect(order).toEqual(['postgres', 'api']);
    expect(statusOf(folder)).toMatchObject({ healthy: true, url: 'http://x' });
    await supervisor.stop();
    expect(readRunFile(folder)).toBeNull();
  });

  test('switches a node off and on as it is told over its socket, and keeps it off over a restart', async () => {
    const parts = () => [
      shellPart('api', LIVES),
      shellPart('node1', LIVES, ['api']),
      shellPart('node2', LIVES, ['api']),
    ];
    const path = localPowerSocket(folder);
    let supervisor = supervise(parts());
    let server = await LocalPowerServer.listen(path, supervisor, (text) => said.push(text));
    await until(() => readRunFile(folder)?.state === 'running');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const { process: agent } = partOf('node2')!;
    expect(await ask(path, '{"do":"off","node":"node2"}')).toMatchObject({ power: 'off' });
    expect(isAlive(agent!)).toBe(false);
    expect(await ask(path, '{"do":"off","node":"node2"}')).toMatchObject({ power: 'off' });
    await until(() => partOf('node2')?.state === 'off');
    expect(statusOf(folder).healthy).toBe(true);
    await server.close();
    await supervisor.stop();

    supervisor = supervise(parts());
    server = await LocalPowerServer.listen(path, supervisor, (text) => said.push(text));
    await until(() => readRunFile(folder)?.state === 'running');
    expect(partOf('node2')).toMatchObject({ state: 'off', process: null });
    expect(await ask(path, '{"do":"list"}')).toEqual({
      nodes: [
        { name: 'node1', power: 'on' },
        { name: 'node2', power: 'off' },
      ],
    });
    expect(await ask(path, '{"do":"on","node":"node2"}')).toMatchObject({ power: 'on' });
    await until(() => partOf('node2')?.state === 'healthy');
    await server.close();
    await supervisor.stop();
  });

  test('switches nothing but nodes, and answers nonsense with what is wrong', async () => {
    const supervisor = supervise([shellPart('api', LIVES)]);
    const server = await LocalPowerServer.listen(localPowerSocket(folder), supervisor, () => undefined);
    for (const line of ['{"do":"off","node":"api"}', '{"do":"off"}', 'nonsense', '{"do":"explode"}']) {
      expect(await ask(localPowerSocket(folder), line)).toHaveProperty('error');
    }
    await server.close();
    await supervisor.stop();
  });

  test('starts a part again that was killed', async () => {
    const supervisor = supervise([shellPart('api', LIVES)]);
    const first = await until(() => (partOf('api')?.state === 'healthy' ? partOf('api')?.process : null));
    process.kill(first.pid, 'SIGKILL');
    const second = await until(() => {
      const part = partOf('api');
      return part?.state === 'healthy' && part.process?.pid !== first.pid ? part : null;
    });
    expect(second.restarts).toBe(1);
    await supervisor.stop();
    expect(isAlive(second.process!)).toBe(false);
  });

  test('gives up a start that fails again and again, with the end of its log', async () => {
    const supervisor = supervise([shellPart('api', 'echo no such luck; exit 3')]);
    const run = await until(() => (readRunFile(folder)?.state === 'failed' ? readRunFile(folder) : null));
    expect(run.reason).toMatch(/api ended with exit code 3.*no such luck/s);
    expect(order).toHaveLength(3);
    await supervisor.stop();
  });

  test('takes up the parts that a killed supervisor left running', async () => {
    const part = shellPart('api', LIVES);
    const { command, args, env } = await part.launch();
    const child = spawn(command, args, { env, stdio: 'ignore' });
    const left = await until(() => identify(child.pid!));
    await writeRunFile(folder, {
      version: 1,
      supervisor: { pid: process.pid, startTime: '1' },
      url: 'http://x',
      state: 'running',
      reason: '',
      parts: [{ name: 'api', state: 'healthy', process: left, detail: '', restarts: 0 }],
    });
    const supervisor = supervise([part]);
    await until(() => readRunFile(folder)?.state === 'running');
    expect(partOf('api')?.process).toEqual(left);
    expect(order).toEqual(['api']);
    await supervisor.stop();
    expect(isAlive(left)).toBe(false);
  });

  test('a pid in run.json that is another process now is neither taken up nor ended', async () => {
    const part = shellPart('api', LIVES);
    const stranger = { pid: process.pid, startTime: '1' };
    await writeFile(
      folder.runFile,
      JSON.stringify({
        version: 1,
        supervisor: stranger,
        url: 'http://x',
        state: 'running',
        reason: '',
        parts: [{ name: 'api', state: 'healthy', process: stranger, detail: '', restarts: 0 }],
      }),
    );
    expect(statusOf(folder)).toMatchObject({
      healthy: false,
      parts: [{ state: 'stopped' }, { state: 'stopped' }],
    });
    const supervisor = supervise([part]);
    const now = await until(() => {
      const ours = partOf('api');
      return ours?.state === 'healthy' && ours.process?.pid !== process.pid ? ours.process : null;
    });
    await supervisor.stop();
    expect(isAlive(now)).toBe(false);
  });

  test('agents end first, then what they need', () => {
    const parts = [
      shellPart('postgres', ''),
      shellPart('api', '', ['postgres']),
      shellPart('portal', ''),
      shellPart('node1', '', ['api']),
      shellPart('node2', '', ['api']),
    ];
    expect(stopOrder(parts).map((group) => group.map(({ name }) => name))).toEqual([
      ['node1', 'node2'],
      ['api'],
      ['portal'],
      ['postgres'],
    ]);
  });

  test('restarts come slower and slower, up to half a minute', () => {
    expect([1, 2, 3, 20].map(pauseBefore)).toEqual([500, 1_000, 2_000, 30_000]);
  });
});

describe('its tools', () => {
  test('a lock is held by one at a time, and free when it is released', async () => {
    const first = await takeLock('test', folder.root);
    expect(await takeLock('test', folder.root)).toBeNull();
    await first?.release();
    const second = await takeLock('test', folder.root);
    expect(second).not.toBeNull();
    await second?.release();
  });

  test('a log is bounded, and its end can be shown', async () => {
    const log = folder.logOf('api');
    await writeFile(log, `${'x'.repeat(17 << 20)}\nlast words\n`);
    expect(tail(log, 1)).toBe('last words');
    await rotate(log);
    expect(await readFile(log, 'utf8')).toBe('');
    expect(tail(`${log}.1`, 1)).toBe('last words');
  });
});
