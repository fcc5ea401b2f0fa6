import { z } from 'zod';
import { driverFailed, type PowerDriver, unread } from './power-driver.js';
import { runProgram } from './run-program.js';

/** A program and its words. `{node}` in a word becomes the node's name; there is no shell, so nothing else is special. */
const Argv = z.array(z.string().max(4_096)).min(1).max(64);

export const CommandSettings = z.strictObject({
  on: Argv,
  off: Argv,
  /** Prints `on` or `off` as its first word. */
  status: Argv.optional(),
  /** Takes the power away without waiting for the operating system; `off` where it is missing. */
  cut: Argv.optional(),
  /** Prints the watts drawn now as its first word: a meter in the socket. */
  watts: Argv.optional(),
  /** Seconds for each. */
  timeout: z.int().min(1).max(300).default(30),
});
export type CommandSettings = z.infer<typeof CommandSettings>;
/** Given to the commands in their environment. */
export const CommandSecret = z.strictObject({
  environment: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/), z.string().max(4_096)),
});

/** One's own programs: a PDU's tool, a smart socket, a hypervisor. */
export function ownCommand(
  settings: CommandSettings,
  environment: Readonly<Record<string, string>>,
  node: string,
): PowerDriver {
  const run = (argv: readonly string[], signal: AbortSignal) =>
    runProgram(
      argv.map((word) => word.replaceAll('{node}', node)),
      { ...environment, DRVS_NODE: node },
      settings.timeout * 1_000,
      signal,
    );
  const perform = async (what: string, argv: readonly string[], signal: AbortSignal): Promise<void> => {
    const { code, failure, stderr, stdout } = await run(argv, signal);
    if (code === 0) return;
    const said = (stderr.trim() || stdout.trim()).split('\n').at(-1)?.slice(0, 300);
    const why = failure ?? `exit code ${code}${said ? `: ${said}` : ''}`;
    throw driverFailed(
      'command',
      `${what} (${argv[0]}): ${why}`,
      'Run it by hand where the API runs, as its user.',
    );
  };
  return {
    name: 'command',
    canCut: settings.status !== undefined,
    async status(signal) {
      if (!settings.status)
        return { ...unread('no status command is set'), watts: await readWatts(run, settings, signal) };
      const { code, failure, stdout, stderr } = await run(settings.status, signal);
      const word = stdout.trim().split(/\s/, 1)[0]?.toLowerCase();
      if (code !== 0)
        return unread(
          failure ?? `the status command ended with exit code ${code}: ${stderr.trim().slice(0, 200)}`,
        );
      if (word !== 'on' && word !== 'off')
        return unread(`the status command printed ${JSON.stringify(stdout.slice(0, 80))}, not on or off`);
      return {
        power: word,
        watts: await readWatts(run, settings, signal),
        detail: `the status command says ${word}`,
      };
    },
    on: (signal) => perform('on', settings.on, signal),
    off: (how, signal) =>
      how === 'gently'
        ? perform('off', settings.off, signal)
        : perform('cut', settings.cut ?? settings.off, signal),
    async cycle(signal) {
      await perform('cut', settings.cut ?? settings.off, signal);
      await perform('on', settings.on, signal);
    },
  };
}

async function readWatts(
  run: (argv: readonly string[], signal: AbortSignal) => ReturnType<typeof runProgram>,
  { watts }: CommandSettings,
  signal: AbortSignal,
): Promise<number | null> {
  if (!watts) return null;
  const { code, stdout } = await run(watts, signal);
  const read = Number(stdout.trim().split(/\s/, 1)[0]);
  return code === 0 && stdout.trim() !== '' && Number.isFinite(read) && read >= 0 ? read : null;
}
