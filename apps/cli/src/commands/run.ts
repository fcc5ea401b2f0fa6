import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import type { ExitStatus } from '@drvs/contracts';
import type { Command } from 'commander';
import { type ApiClient, FOLLOW_RETRY_MS } from '../api/client.js';
import { drvmPath } from '../api/drvm-path.js';
import { followOutput } from '../api/output-stream.js';
import { assertWebAssembly, readLocalFile, statInside, upload } from '../api/upload.js';
import { EXIT_INTERRUPTED, Exit, Failure, usage } from '../failure.js';
import type { InterruptSignal } from '../interrupts.js';
import type { Shell } from '../shell.js';

/** Standard input that is read here before it is sent. */
const STDIN_BYTES_MAX = 256 * 1024 * 1024;
const EXIT_BROKEN_PIPE = 141;

interface RunOptions {
  node?: string;
  detach?: boolean;
  env: Record<string, string>;
  dir: { path: string; as: string }[];
  stdin?: string;
  name?: string;
}

interface Started {
  pid: number;
  node: string;
}

export function registerRun(program: Command, shell: Shell): void {
  program
    .command('run')
    .description("run a program in a DRVM; attached, its output and exit code are this command's own")
    .argument('<drvm>')
    .argument('<program>', 'a .wasm file of this machine, or a path inside the DRVM')
    .argument('[args...]')
    .usage('<drvm> [options] <program.wasm | /path/inside> [args...]')
    .option('--node <node>', 'start it there; otherwise the DRVM chooses')
    .option('-d, --detach', 'print its pid and return; `drvs logs` shows its output')
    .option(
      '-e, --env <K=V>',
      'a variable of its environment (K alone: as it is here)',
      collectEnv(shell),
      {},
    )
    .option(
      '--dir <path>',
      'open a directory of the DRVM to it: PATH or PATH::AS (without: /)',
      collectDirectory,
      [],
    )
    .option(
      '--stdin <file>',
      'its standard input: a file here or inside the DRVM, or - for this standard input',
    )
    .option('--name <name>', 'its argv[0]')
    .action(async (drvm: string, file: string, args: string[], options: RunOptions) => {
      await run(shell, drvm, file, args, options);
    });
}

async function run(
  shell: Shell,
  drvmName: string,
  file: string,
  args: string[],
  options: RunOptions,
): Promise<void> {
  const client = await shell.client();
  const drvm = drvmPath(drvmName);
  const abort = new AbortController();
  let started: Started;
  {
    // Nothing runs yet: ^C takes back what is under way.
    using _ = shell.interrupts.take(() => abort.abort(new Exit(EXIT_INTERRUPTED)));
    const path = await resolveProgram(client, drvm, file, abort.signal);
    const stdinPath =
      options.stdin === undefined ? null : await resolveStdin(shell, client, drvm, options.stdin);
    abort.signal.throwIfAborted();
    const key = randomUUID();
    started = await client.post<Started>(
      `${drvm}/processes`,
      {
        program: path,
        name: options.name ?? basename(file),
        args,
        env: options.env,
        directories: options.dir.length > 0 ? options.dir : undefined,
        stdinPath,
        node: options.node ?? null,
        requestKey: key,
      },
      { idempotencyKey: key },
    );
  }
  const process = `${drvm}/processes/${started.pid}`;
  if (abort.signal.aborted) {
    // The signal came while it was being started: it is ended, not forgotten.
    await client.post(`${process}/kill`, { signal: 'SIGKILL' });
    throw new Exit(EXIT_INTERRUPTED);
  }
  if (options.detach) {
    shell.answer({ pid: started.pid, node: started.node }, ({ pid }) => `${pid}\n`);
    return;
  }
  const exit = await attach(shell, client, process, started.pid, drvmName);
  throw new Exit(exit.exitCode);
}

/** Copies the output here until the process has ended; signals are passed on to it. */
async function attach(
  shell: Shell,
  client: ApiClient,
  path: string,
  pid: number,
  drvmName: string,
): Promise<ExitStatus> {
  let hasEnded = false;
  const kill = (signal: string): void => {
    client.post(`${path}/kill`, { signal }, { retryMs: FOLLOW_RETRY_MS }).catch((error: unknown) => {
      // The process may end, and this command with it, before the answer to the signal is here.
      if (!hasEnded) shell.note(`drvs: ${signal} was not delivered: ${(error as Error).message}`);
    });
  };
  using _ = shell.interrupts.take((signal: InterruptSignal, count) => {
    if (count === 1) {
      kill(signal);
      if (signal === 'SIGINT' && shell.stderr.isTTY) {
        shell.note(`\ndrvs: SIGINT sent to process ${pid}; ^C again kills it`);
      }
    } else if (count === 2) {
      kill('SIGKILL');
      if (shell.stderr.isTTY) shell.note(`\ndrvs: process ${pid} killed; ^C again leaves without waiting`);
    } else shell.exit(EXIT_INTERRUPTED);
  });
  let isBroken = false;
  const onBrokenPipe = (): void => {
    if (isBroken) return;
    isBroken = true;
    client
      .post(`${path}/kill`, { signal: 'SIGPIPE' })
      .catch(() => client.post(`${path}/kill`, { signal: 'SIGTERM' }))
      .catch(() => undefined)
      .finally(() => shell.exit(EXIT_BROKEN_PIPE));
  };
  shell.stdout.removeAllListeners('error').on('error', onBrokenPipe);

  let isTold = false;
  const end = await followOutput(client, `${path}/output`, sinkOf(shell), {
    follow: true,
    onBreak: (reason) => {
      if (!isTold && shell.stderr.isTTY)
        shell.note(`drvs: connection lost (${reason}); process ${pid} goes on, reconnecting`);
      isTold = true;
    },
  });
  hasEnded = true;
  if (end.lost > 0)
    shell.note(`drvs: ${end.lost} bytes of its output were no longer kept when they were asked for`);
  if (end.exit === null) {
    throw new Failure('StillRunning', `process ${pid} has not ended, but its output has`, {
      hint: `See \`drvs ps ${drvmName}\`.`,
    });
  }
  if (end.exit.reason) shell.note(`drvs: process ${pid} was ended: ${end.exit.reason}`);
  return end.exit;
}

export function sinkOf(shell: Shell): { write(stream: 'stdout' | 'stderr', bytes: Buffer): Promise<void> } {
  return {
    write: (stream, bytes) =>
      new Promise((resolve) => {
        if (shell[stream].write(bytes)) resolve();
        else shell[stream].once('drain', resolve);
      }),
  };
}

/** A path inside wins when it is absolute and there; everything else is a file of this machine. */
async function resolveProgram(
  client: ApiClient,
  drvm: string,
  file: string,
  signal: AbortSignal,
): Promise<string> {
  if (file.startsWith('/') && (await statInside(client, drvm, file))?.kind === 'file') return file;
  const local = await readLocalFile(file);
  if (local === null) {
    if (!file.startsWith('/')) await client.get(drvm); // An unknown DRVM is the more useful thing to hear of.
    throw new Failure('NotFound', `there is no program ${file}, neither here nor inside the DRVM`, {
      hint: 'Give a .wasm file of this machine, or the absolute path of one inside the DRVM (`drvs cp` puts it there).',
    });
  }
  await assertWebAssembly(file);
  return upload(client, drvm, { ...local, bytes: () => createReadStream(file) }, '.wasm', signal);
}

async function resolveStdin(shell: Shell, client: ApiClient, drvm: string, file: string): Promise<string> {
  if (file === '-') {
    const bytes = await shell.readStdin(STDIN_BYTES_MAX);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    return upload(client, drvm, { size: bytes.length, sha256, bytes: () => bytes }, '.stdin');
  }
  if (file.startsWith('/') && (await statInside(client, drvm, file))?.kind === 'file') return file;
  const local = await readLocalFile(file);
  if (local === null)
    throw new Failure('NotFound', `there is no file ${file}, neither here nor inside the DRVM`);
  return upload(client, drvm, { ...local, bytes: () => createReadStream(file) }, '.stdin');
}

const collectEnv =
  (shell: Shell) =>
  (word: string, all: Record<string, string>): Record<string, string> => {
    const at = word.indexOf('=');
    if (at === 0 || word === '') throw usage(`"${word}" is not a variable`, 'Write --env NAME=value.');
    if (at > 0) return { ...all, [word.slice(0, at)]: word.slice(at + 1) };
    const value = shell.env[word];
    return value === undefined ? all : { ...all, [word]: value };
  };

export function collectDirectory(
  word: string,
  all: { path: string; as: string }[],
): { path: string; as: string }[] {
  const at = word.indexOf('::');
  const path = at < 0 ? word : word.slice(0, at);
  const as = at < 0 ? word : word.slice(at + 2);
  if (!path.startsWith('/') || as === '') {
    throw usage(`"${word}" is not a directory of the DRVM`, 'Write --dir /data or --dir /data::/input.');
  }
  return [...all, { path, as }];
}

/**
 * `run` takes its options before the program only: what comes after it is the program's. Puts `--` before the program,
 * so that the parser leaves the rest alone.
 * @param takesValue says whether an option is followed by its value
 */
export function separateProgram(words: readonly string[], takesValue: (option: string) => boolean): string[] {
  let operands = 0;
  for (let at = 0; at < words.length; at++) {
    const word = words[at]!;
    if (word === '--') return [...words];
    if (word.startsWith('-') && word !== '-') {
      if (!word.includes('=') && takesValue(word)) at++;
      continue;
    }
    operands++;
    if (operands === 2) return [...words.slice(0, at), '--', ...words.slice(at)];
  }
  return [...words];
}
