import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from './ports.js';

/** The whole of DRVS as `./drvs up` starts it, on a port and in a data folder of its own, driven as a user would. */
export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');
const DRVS = join(ROOT, 'drvs');
const UP_TIMEOUT_MS = 240_000;

export interface CommandResult {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface StatusPart {
  name: string;
  state: string;
  pid: number | null;
  detail: string;
}

export interface Stack {
  readonly url: string;
  readonly token: string;
  readonly data: string;
  /** Runs `./drvs …` to its end. */
  drvs(...args: string[]): Promise<CommandResult>;
  /** Runs `./drvs … --json`, fails the test unless it exits 0, and gives its value. */
  json<T>(...args: string[]): Promise<T>;
  /** Starts `./drvs …` and leaves it running. */
  spawn(args: string[], env?: Record<string, string>): ChildProcess;
  rest<T = unknown>(
    method: string,
    path: string,
    body?: unknown,
    token?: string,
  ): Promise<{ status: number; body: T }>;
  graphql<T = Record<string, unknown>>(
    query: string,
    variables?: Record<string, unknown>,
    token?: string,
  ): Promise<{ data: T | null; errors?: { message: string; extensions?: { code?: string } }[] }>;
  parts(): Promise<StatusPart[]>;
  stop(): Promise<void>;
}

function collect(child: ChildProcess, input?: string): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    let stdout = '';
    let stderr = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.stdin?.end(input);
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

/** @param args more for `./drvs up`, for instance `--no-demo` */
export async function startStack(...args: string[]): Promise<Stack> {
  const folder = await mkdtemp(join(tmpdir(), 'drvs-stack-'));
  const data = join(folder, 'data');
  const port = await freePort();
  // The user's own settings are neither read nor written.
  const environment: NodeJS.ProcessEnv = {
    ...process.env,
    HOME: folder,
    XDG_CONFIG_HOME: join(folder, 'config'),
  };
  for (const name of ['NODE_OPTIONS', 'DRVS_CONFIG', 'DRVS_URL', 'DRVS_TOKEN', 'DATABASE_URL', 'REDIS_URL']) {
    if (!process.env[`TEST_STACK_${name}`]) delete environment[name];
  }
  const start = (words: string[], env: Record<string, string> = {}): ChildProcess =>
    spawn(DRVS, words, { cwd: folder, env: { ...environment, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
  const drvs = (...words: string[]) => collect(start(words));
  const down = async () => {
    await collect(start(['down', '--data', data, '--purge', '--yes']));
    await rm(folder, { recursive: true, force: true });
  };

  const up = start(['up', '--detach', '--port', String(port), '--data', data, ...args]);
  const timer = setTimeout(() => up.kill('SIGKILL'), UP_TIMEOUT_MS);
  const result = await collect(up);
  clearTimeout(timer);
  if (result.code !== 0) {
    await down();
    throw new Error(`drvs up exited with ${result.code}\n${result.stdout}\n${result.stderr}`);
  }
  const config = JSON.parse(await readFile(join(folder, '.config/drvs/config.json'), 'utf8')) as {
    url: string;
    token: string;
  };

  const rest: Stack['rest'] = async (method, path, body, token = config.token) => {
    const response = await fetch(`${config.url}/api/v1/${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    let parsed: unknown = text;
    try {
      parsed = JSON.parse(text);
    } catch {
      // Not every answer is JSON; the test sees the text.
    }
    return { status: response.status, body: parsed as never };
  };

  return {
    url: config.url,
    token: config.token,
    data,
    drvs,
    async json(...words) {
      // What follows the program of `run` is the program's own.
      const answer = await (words[0] === 'run'
        ? drvs('run', '--json', ...words.slice(1))
        : drvs(...words, '--json'));
      if (answer.code !== 0)
        throw new Error(`drvs ${words.join(' ')} exited with ${answer.code}\n${answer.stderr}`);
      return JSON.parse(answer.stdout);
    },
    spawn: start,
    rest,
    async graphql(query, variables = {}, token = config.token) {
      const response = await fetch(`${config.url}/graphql`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ query, variables }),
      });
      return (await response.json()) as never;
    },
    async parts() {
      const { stdout } = await drvs('status', '--data', data, '--json');
      return (JSON.parse(stdout) as { parts: StatusPart[] }).parts;
    },
    stop: down,
  };
}

/** The words of a command line, parted by blanks. */
export const words = (line: string): string[] => line.split(' ');

/** Asks again until `condition` gives something, or fails with what was last thrown. */
export async function eventually<T>(
  what: string,
  condition: () => Promise<T | null | undefined | false>,
  timeoutMs = 30_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  let last: unknown = null;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`, { cause: last });
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
