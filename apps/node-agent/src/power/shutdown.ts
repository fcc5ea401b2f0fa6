import { spawn } from 'node:child_process';
import { DrvsError } from '@drvs/contracts';
import type { Log } from '../log.js';

/** The command gets so long to be refused; one that is still running then, or ended well, is believed. */
const REFUSED_WITHIN_MS = 2_000;

/**
 * Switches this host off by the command that its owner has set (DRVS_SHUTDOWN, for instance `systemctl poweroff`).
 *
 * @throws DrvsError StateConflict when there is none; PowerFailed when it fails at once
 */
export async function shutDownHost(command: readonly string[] | undefined, log: Log): Promise<void> {
  requireCommand(command);
  const [program = '', ...words] = command;
  log.warn({ command }, 'the host is shut down');
  const child = spawn(program, words, { stdio: 'ignore', detached: true });
  const failure = await new Promise<string | null>((resolve) => {
    const timer = setTimeout(() => resolve(null), REFUSED_WITHIN_MS);
    const done = (why: string | null): void => {
      clearTimeout(timer);
      resolve(why);
    };
    child.on('error', (error) => done(error.message));
    child.on('exit', (code) => done(code === 0 ? null : `it ended with exit code ${code}`));
  });
  child.unref();
  if (failure === null) return;
  throw new DrvsError('PowerFailed', `${program} did not shut the host down: ${failure}`, {
    hint: "Run it by hand as the agent's user; it needs the right to switch the host off.",
  });
}

export function requireCommand(command: readonly string[] | undefined): asserts command is readonly string[] {
  if (command !== undefined) return;
  throw new DrvsError('StateConflict', 'this agent may not switch its host off', {
    hint: 'Start it with DRVS_SHUTDOWN set to the command, for instance "systemctl poweroff".',
  });
}
