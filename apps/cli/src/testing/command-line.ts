/** The built command line as a process of its own. */
import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../../..');

export function buildCommandLine(): void {
  execFileSync(process.execPath, [
    join(root, 'scripts/build.mjs'),
    '--quiet',
    '--only',
    'libs/contracts,libs/client,libs/policy,apps/cli',
  ]);
}

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: Buffer;
  stderr: string;
}

export interface Running {
  child: ChildProcessByStdio<Writable, Readable, Readable>;
  ended: Promise<Ended>;
  /** Resolves when standard output or error holds the text. */
  until(text: string): Promise<void>;
}

export function startCommand(words: readonly string[], env: Record<string, string>, input?: string): Running {
  const { NODE_OPTIONS: _, ...inherited } = process.env;
  const child = spawn(process.execPath, [join(root, 'apps/cli/dist/main.js'), ...words], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...inherited, DRVS_CONFIG: '/nonexistent/config.json', DRVS_TOKEN: 'secret', ...env },
  });
  child.stdin.end(input ?? '');
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  const waiting: (() => void)[] = [];
  const keep = (kept: Buffer[]) => (chunk: Buffer) => {
    kept.push(chunk);
    for (const wake of waiting) wake();
  };
  child.stdout.on('data', keep(out));
  child.stderr.on('data', keep(err));
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code, signal) =>
      resolve({ code, signal, stdout: Buffer.concat(out), stderr: Buffer.concat(err).toString('utf8') }),
    );
  });
  return {
    child,
    ended,
    until: (text) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (Buffer.concat([...out, ...err]).includes(text)) resolve();
        };
        waiting.push(look);
        look();
      }),
  };
}

export const runCommand = (
  words: readonly string[],
  env: Record<string, string>,
  input?: string,
): Promise<Ended> => startCommand(words, env, input).ended;
