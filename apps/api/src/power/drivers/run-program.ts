import { spawn } from 'node:child_process';

export interface ProgramOutcome {
  code: number | null;
  /** Why it has no exit code: it could not be started, or its time was over. */
  failure: string | null;
  stdout: string;
  stderr: string;
}

const OUTPUT_MAX_BYTES = 64 * 1024;
const KILL_AFTER_MS = 2_000;

/**
 * Runs a program without a shell: each argument is one word whatever is in it. It gets the variables that are named
 * here and no others, ends within `withinMs`, and of what it prints the first 64 KiB are kept.
 */
export function runProgram(
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
  withinMs: number,
  signal: AbortSignal,
): Promise<ProgramOutcome> {
  return new Promise((resolve) => {
    const [program = '', ...args] = argv;
    const inherited = Object.fromEntries(
      ['PATH', 'HOME', 'LANG', 'TZ'].flatMap((name) =>
        process.env[name] ? [[name, process.env[name]]] : [],
      ),
    );
    const child = spawn(program, args, {
      env: { ...inherited, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    let failure: string | null = null;
    const texts = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        texts[name] = (texts[name] + text).slice(0, OUTPUT_MAX_BYTES);
      });
    }
    let kill: NodeJS.Timeout | undefined;
    const end = (why: string): void => {
      failure ??= why;
      signalGroup(child.pid, 'SIGTERM');
      kill ??= setTimeout(() => signalGroup(child.pid, 'SIGKILL'), KILL_AFTER_MS);
    };
    const timer = setTimeout(() => end(`it did not end within ${withinMs / 1000} s`), withinMs);
    const onAbort = (): void => end('it was given up');
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
    const done = (code: number | null): void => {
      clearTimeout(timer);
      clearTimeout(kill);
      signal.removeEventListener('abort', onAbort);
      resolve({ code: failure === null ? code : null, failure, ...texts });
    };
    child.on('error', (error) => {
      failure ??= `it cannot be started: ${error.message}`;
      done(null);
    });
    child.on('close', (code, by) => {
      if (by !== null) failure ??= `it was ended by ${by}`;
      done(code);
    });
  });
}

/** With all that it started. */
function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // It has ended meanwhile.
  }
}
