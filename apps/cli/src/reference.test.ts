import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, test } from '@jest/globals';
import type { Command } from 'commander';
import { leavesOf, optionsOf } from './command-tree.js';
import { examplesOf } from './examples.js';
import { buildProgram, prepareWords } from './program.js';
import { commandReference } from './reference.js';
import { Shell } from './shell.js';

const file = new URL('../../../docs/cli-reference.md', import.meta.url);
const newProgram = (): Command => buildProgram(new Shell({}));

/** The program with what its commands do taken away: words are parsed, and nothing happens. */
function inert(): { program: Command; called: string[] } {
  const program = newProgram();
  const called: string[] = [];
  for (const { path, command } of leavesOf(program)) {
    command.action(() => {
      called.push(path);
    });
  }
  return { program, called };
}

// With UPDATE_SCHEMA=1 (`npm run reference`) this test writes the file.
test('docs/cli-reference.md is what the commands take', async () => {
  const text = commandReference(newProgram());
  if (process.env.UPDATE_SCHEMA) await writeFile(file, text);
  expect(await readFile(file, 'utf8')).toBe(text);
});

describe('every command', () => {
  const leaves = leavesOf(newProgram());

  test('says what it does, and what each of its options does', () => {
    const mute = leaves.flatMap(({ path, command }) => [
      ...(command.description() || command.parent?.description() ? [] : [path]),
      ...optionsOf(command)
        .filter(({ description, argChoices }) => !description && !argChoices)
        .map(({ flags }) => `${path} ${flags}`),
    ]);
    expect(mute).toEqual([]);
  });

  test('shows an example in its help, which is right usage', async () => {
    const faults: string[] = [];
    for (const { path, command } of leaves) {
      const help = helpOf(command);
      for (const example of examplesOf(path, command)) {
        if (!help.includes(example)) faults.push(`${path}: the help does not show ${example}`);
        const { program, called } = inert();
        const words = example.split(' ').slice(1);
        await program.parseAsync(prepareWords(program, words), { from: 'user' }).catch((error: Error) => {
          faults.push(`${example}: ${error.message}`);
        });
        if (!called.includes(path)) faults.push(`${example} is not an example of ${path}`);
      }
    }
    expect(faults).toEqual([]);
  });

  test('takes --json, before its name or after it', async () => {
    const faults: string[] = [];
    for (const { path, command } of leaves) {
      const [example = ''] = examplesOf(path, command);
      const words = example.split(' ').slice(1);
      // What follows the program of `run` is that program's own.
      const after = path === 'run' ? ['run', '--json', ...words.slice(1)] : [...words, '--json'];
      for (const each of [['--json', ...words], after]) {
        const { program } = inert();
        await program.parseAsync(prepareWords(program, each), { from: 'user' }).catch((error: Error) => {
          faults.push(`${each.join(' ')}: ${error.message}`);
        });
        if (program.opts<{ json?: boolean }>().json !== true)
          faults.push(`${each.join(' ')}: --json is not seen`);
      }
    }
    expect(faults).toEqual([]);
  });

  test('refuses an option that it does not have, and arguments that are missing', async () => {
    const faults: string[] = [];
    for (const { path, command } of leaves) {
      if (path === 'run') continue;
      const tries = [[...path.split(' '), '--no-such-option']];
      if (command.registeredArguments[0]?.required) tries.push(path.split(' '));
      for (const words of tries) {
        const { program, called } = inert();
        const refused = await program.parseAsync(words, { from: 'user' }).then(
          () => false,
          (error: { exitCode?: number }) => error.exitCode !== 0,
        );
        if (!refused || called.length > 0) faults.push(words.join(' '));
      }
    }
    expect(faults).toEqual([]);
  });

  test('that lists is called list, and may be called ls', () => {
    const lists = leaves.filter(({ path }) => path.endsWith(' list'));
    expect(lists.filter(({ command }) => !command.aliases().includes('ls')).map(({ path }) => path)).toEqual(
      [],
    );
  });
});

function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({
    writeOut: (piece) => {
      text += piece;
    },
  });
  command.outputHelp();
  return text;
}
