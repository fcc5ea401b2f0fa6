#!/usr/bin/env node
import { CommanderError } from 'commander';
import { bodyOf, EXIT_USAGE, Exit, exitCodeOf, type FailureBody } from './failure.js';
import { buildProgram, prepareWords } from './program.js';
import { Shell } from './shell.js';

const EXIT_BROKEN_PIPE = 141;

const shell = new Shell();
// The reader of a pipe may leave when it has seen enough (`| head`): then there is nobody to tell.
for (const stream of [shell.stdout, shell.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT_BROKEN_PIPE);
    throw error;
  });
}
shell.interrupts.install();

const words = process.argv.slice(2);
const program = buildProgram(shell);
let exitCode = 0;
try {
  await program.parseAsync(prepareWords(program, words), { from: 'user' });
} catch (error) {
  exitCode = tell(error);
}
await shell.close();
process.exit(exitCode);

function tell(error: unknown): number {
  if (error instanceof Exit) return error.exitCode;
  if (error instanceof CommanderError) {
    // Help and version have been printed; help without a command is wrong usage.
    if (error.code === 'commander.helpDisplayed' || error.code === 'commander.version') return 0;
    if (error.code === 'commander.help') return words.includes('help') ? 0 : EXIT_USAGE;
    const [message = '', ...rest] = error.message.replace(/^error: /, '').split('\n');
    print({ code: 'WrongUsage', message, hint: rest.join(' ').trim() || '`drvs help` shows the commands.' });
    return EXIT_USAGE;
  }
  print(bodyOf(error));
  if (shell.env.DRVS_DEBUG && error instanceof Error) shell.note(String(error.stack));
  return exitCodeOf(error);
}

function print(body: FailureBody): void {
  const end = words.indexOf('--');
  if (shell.isJson || words.slice(0, end < 0 ? undefined : end).includes('--json')) {
    shell.note(JSON.stringify(body));
    return;
  }
  shell.note(`error: ${body.message} (${body.code}${body.field ? `, ${body.field}` : ''})`);
  if (body.hint) shell.note(`hint:  ${body.hint}`);
}
