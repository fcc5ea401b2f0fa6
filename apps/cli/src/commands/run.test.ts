import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { buildCommandLine, runCommand, startCommand } from '../testing/command-line.js';
import { type Answering, HttpPeer, json, problem } from '../testing/http-peer.js';
import { collectDirectory, separateProgram } from './run.js';

describe('the words of run', () => {
  const takesValue = (word: string): boolean => ['--node', '--env', '-e'].includes(word);

  test.each([
    ['aula prog.wasm --json -x', 'aula -- prog.wasm --json -x'],
    ['aula --node n1 prog.wasm a', 'aula --node n1 -- prog.wasm a'],
    ['--detach aula -e A=b /bin/x --detach', '--detach aula -e A=b -- /bin/x --detach'],
    ['aula --node=n1 prog.wasm', 'aula --node=n1 -- prog.wasm'],
    ['aula -- prog.wasm --', 'aula -- prog.wasm --'],
    ['aula', 'aula'],
  ])('%s: what follows the program is its own', (words, expected) => {
    expect(separateProgram(words.split(' '), takesValue).join(' ')).toBe(expected);
  });

  test('a directory is seen under its own name or another', () => {
    expect(collectDirectory('/data', [])).toEqual([{ path: '/data', as: '/data' }]);
    expect(collectDirectory('/data::/in', [])).toEqual([{ path: '/data', as: '/in' }]);
    expect(() => collectDirectory('data', [])).toThrow(/not a directory of the DRVM/);
  });
});

describe('a program that is run attached', () => {
  let folder: string;
  let program: string;
  beforeAll(async () => {
    buildCommandLine();
    folder = await mkdtemp(join(tmpdir(), 'drvs-run-'));
    program = join(folder, 'program.wasm');
    await writeFile(program, Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]));
  });
  afterAll(() => rm(folder, { recursive: true }));

  /** A DRVM named aula with one process; `output` writes what it says. */
  const drvm =
    (
      output: (response: ServerResponse) => void,
      onKill: (signal: string) => void = () => undefined,
    ): Answering =>
    ({ method, path, body }, response) => {
      if (path === '/api/v1/drvms/aula') return json(response, { name: 'aula' });
      if (path.endsWith('/files')) return problem(response, 404, 'NotFound', 'no such file');
      if (path.endsWith('/files/content') || path.endsWith('/files/rename')) return json(response, {});
      if (method === 'POST' && path.endsWith('/processes'))
        return json(response, { pid: 7, node: 'node2' }, 201);
      if (path.endsWith('/kill')) {
        const { signal } = JSON.parse(body.toString()) as { signal: string };
        json(response, { pid: 7, signal });
        return onKill(signal);
      }
      if (path.endsWith('/7/output')) return output(response);
      problem(response, 404, 'NotFound', `${method} ${path}`);
    };
  const chunk = (stream: string, offset: number, bytes: Buffer): string =>
    `${JSON.stringify({ stream, offset, base64: bytes.toString('base64') })}\n`;
  const end = (exitCode: number, signal: string | null = null): string =>
    `${JSON.stringify({ exit: { exitCode, signal, reason: null }, nextOffset: 0, lost: 0 })}\n`;

  test('its bytes, its two streams and its exit code are the command’s own', async () => {
    const bytes = Buffer.from([0, 255, 10, 13, 27, 128]);
    await using peer = await HttpPeer.start(
      drvm((response) =>
        response.end(
          chunk('stdout', 0, bytes) + chunk('stderr', bytes.length, Buffer.from('warn\n')) + end(42),
        ),
      ),
    );
    const ended = await runCommand(['run', 'aula', program, '--json', 'a b'], { DRVS_URL: peer.url });
    expect(ended.stderr).toBe('warn\n');
    expect(ended.stdout).toEqual(bytes);
    expect(ended.code).toBe(42);
    const start = JSON.parse(peer.asked.find(({ path }) => path.endsWith('/processes'))!.body.toString());
    expect(start).toMatchObject({
      name: 'program.wasm',
      args: ['--json', 'a b'],
      stdinPath: null,
      node: null,
    });
    expect(start.program).toMatch(/^\/tmp\/run\/[0-9a-f]{64}\.wasm$/);
  });

  test('^C is sent to the program, which decides how it ends', async () => {
    let finish: () => void = () => undefined;
    const killed: string[] = [];
    await using peer = await HttpPeer.start(
      drvm(
        (response) => {
          response.write(chunk('stdout', 0, Buffer.from('working\n')));
          finish = () => response.end(chunk('stdout', 8, Buffer.from('bye\n')) + end(5));
        },
        (signal) => {
          killed.push(signal);
          finish();
        },
      ),
    );
    const command = startCommand(['run', 'aula', program], { DRVS_URL: peer.url });
    await command.until('working');
    command.child.kill('SIGINT');
    const ended = await command.ended;
    expect(killed).toEqual(['SIGINT']);
    expect(ended.stdout.toString()).toBe('working\nbye\n');
    expect(ended.code).toBe(5);
  });

  test('the second ^C kills a program that ignores the first', async () => {
    let finish: () => void = () => undefined;
    const killed: string[] = [];
    await using peer = await HttpPeer.start(
      drvm(
        (response) => {
          response.write(chunk('stdout', 0, Buffer.from('working\n')));
          finish = () => response.end(end(137, 'SIGKILL'));
        },
        (signal) => {
          killed.push(signal);
          if (signal === 'SIGKILL') finish();
          else command.child.kill('SIGINT');
        },
      ),
    );
    const command = startCommand(['run', 'aula', program], { DRVS_URL: peer.url });
    await command.until('working');
    command.child.kill('SIGINT');
    expect((await command.ended).code).toBe(137);
    expect(killed).toEqual(['SIGINT', 'SIGKILL']);
  });

  test('a reader that leaves ends the program quietly', async () => {
    const killed: string[] = [];
    let more: NodeJS.Timeout | undefined;
    await using peer = await HttpPeer.start(
      drvm(
        (response) => {
          let offset = 0;
          more = setInterval(() => {
            response.write(chunk('stdout', offset, Buffer.alloc(65_536, 'x')));
            offset += 65_536;
          }, 5);
        },
        (signal) => killed.push(signal),
      ),
    );
    const command = startCommand(['run', 'aula', program], { DRVS_URL: peer.url });
    await command.until('x');
    command.child.stdout.destroy();
    const code = await new Promise((resolve) => command.child.on('exit', resolve));
    clearInterval(more);
    expect(code).toBe(141);
    expect(killed).toEqual(['SIGPIPE']);
  });

  test('detached it prints the pid', async () => {
    await using peer = await HttpPeer.start(drvm(() => undefined));
    const ended = await runCommand(['run', 'aula', '--detach', '--json', program], { DRVS_URL: peer.url });
    expect(JSON.parse(ended.stdout.toString())).toEqual({ pid: 7, node: 'node2' });
    expect(ended.code).toBe(0);
  });

  test('what is not WebAssembly is refused before it travels', async () => {
    const script = join(folder, 'script.sh');
    await writeFile(script, '#!/bin/sh\n');
    await using peer = await HttpPeer.start(drvm(() => undefined));
    const ended = await runCommand(['--json', 'run', 'aula', script], { DRVS_URL: peer.url });
    expect(ended.code).toBe(1);
    expect(JSON.parse(ended.stderr)).toMatchObject({ code: 'NotWebAssembly' });
    expect(peer.asked.some(({ method }) => method !== 'GET')).toBe(false);
  });
});

describe('commands that wait for an operation', () => {
  const operation = (state: string, error: unknown = null) => ({
    id: 'op-1',
    kind: 'drvm.stop',
    state,
    progress: 0.5,
    subject: 'drvm/aula',
    steps: [],
    result: null,
    error,
    requestedBy: 'admin',
    createdAt: '2026-01-01T00:00:00Z',
    endedAt: null,
  });

  test('^C leaves the operation going on and says how to follow it', async () => {
    await using peer = await HttpPeer.start(({ path }, response) => {
      if (path.endsWith('/stop')) return json(response, operation('queued'), 202);
      // The wait is answered late: the signal comes first.
    });
    const command = startCommand(['drvm', 'stop', 'aula'], { DRVS_URL: peer.url });
    while (!peer.asked.some(({ path }) => path.endsWith('/wait')))
      await new Promise((r) => setTimeout(r, 20));
    command.child.kill('SIGINT');
    const ended = await command.ended;
    expect(ended.code).toBe(130);
    expect(ended.stderr).toContain('op wait op-1');
    expect(ended.stderr).toContain('op cancel op-1');
  });

  test("a failed operation's error is the command's", async () => {
    const error = { code: 'NodeUnreachable', message: 'node2 does not answer', hint: 'See node list.' };
    await using peer = await HttpPeer.start(({ path }, response) =>
      json(response, operation(path.endsWith('/wait') ? 'failed' : 'queued', error), 202),
    );
    const ended = await runCommand(['drvm', 'stop', 'aula', '--json'], { DRVS_URL: peer.url });
    expect(ended.code).toBe(1);
    expect(ended.stdout.toString()).toBe('');
    expect(JSON.parse(ended.stderr)).toMatchObject(error);
  });

  test('--no-wait prints the id and nothing else', async () => {
    await using peer = await HttpPeer.start((_, response) => json(response, operation('queued'), 202));
    const ended = await runCommand(['drvm', 'stop', 'aula', '--no-wait'], { DRVS_URL: peer.url });
    expect(ended.stdout.toString()).toBe('op-1\n');
  });

  test('wrong usage ends with 2, also in JSON', async () => {
    const ended = await runCommand(['drvm', 'stpo', '--json'], { DRVS_URL: 'http://127.0.0.1:1' });
    expect(ended.code).toBe(2);
    expect(JSON.parse(ended.stderr)).toMatchObject({ code: 'WrongUsage' });
  });
});
