/** The reference of the command line as Markdown, made of the commands themselves. */
import type { Command } from 'commander';
import { argumentText, childrenOf, leavesOf, optionsOf } from './command-tree.js';
import { examplesOf } from './examples.js';

/** Exit codes and streams are the same for all, and told once. */
const INTRODUCTION = `<!-- Made of the code by \`npm run reference\`; changes here are lost. -->

# Every command of drvs

How the command line is used is told in [The command line](cli.md). Every command takes \`--json\` (the answer is one JSON value on
standard output, an error one on standard error) and \`--help\`. Exit code 0 done, 1 refused or failed, 2 wrong usage.
`;

export function commandReference(program: Command): string {
  const groups = childrenOf(program).map((group) => {
    const leaves = leavesOf(program).filter(({ path }) => path.split(' ')[0] === group.name());
    const parts = leaves.map(({ path, command }) => commandPart(path, command));
    const isGroup = childrenOf(group).length > 0;
    const head = isGroup ? [`## ${group.name()}`, `${sentence(group.description())}`] : [];
    return [...head, ...parts.map((part) => (isGroup ? `#${part}` : part))].join('\n\n');
  });
  const globals = optionsOf(program).map(({ flags, description }) => `- \`${flags}\` ${description}`);
  return [INTRODUCTION, `${globals.join('\n')}\n`, `${groups.join('\n\n')}\n`].join('\n');
}

function commandPart(path: string, command: Command): string {
  const usage = [
    'drvs',
    path,
    ...command.registeredArguments.map(argumentText),
    ...(optionsOf(command).length > 0 ? ['[options]'] : []),
  ].join(' ');
  const aliases = command.aliases();
  const about = command.description() || (command.parent?.description() ?? '');
  const parts = [`## ${path}`, `\`${usage}\``, sentence(about)];
  if (aliases.length > 0) parts.push(`Also ${aliases.map((alias) => `\`${alias}\``).join(', ')}.`);
  const rows = [
    ...command.registeredArguments.map((argument) => [
      `\`${argumentText(argument)}\``,
      [argument.description, choicesText(argument.argChoices)].filter(Boolean).join('; '),
    ]),
    ...optionsOf(command).map((option) => [
      `\`${option.flags}\``,
      [
        option.description,
        choicesText(option.argChoices),
        option.mandatory && option.defaultValue === undefined ? 'has to be given' : '',
        presetText(option.defaultValue),
      ]
        .filter(Boolean)
        .join('; '),
    ]),
  ].filter(([, text]) => text !== '');
  if (rows.length > 0) parts.push(table(rows));
  parts.push(`\`\`\`sh\n${examplesOf(path, command).join('\n')}\n\`\`\``);
  return parts.join('\n\n');
}

const choicesText = (choices: readonly string[] | undefined): string =>
  choices ? `one of ${choices.map((choice) => `\`${choice}\``).join(', ')}` : '';

function presetText(value: unknown): string {
  if (value === undefined || value === true || value === false) return '';
  if (Array.isArray(value) && value.length === 0) return '';
  return `default \`${String(value)}\``;
}

function sentence(text: string): string {
  const capital = text.replace(/^[a-z]/, (first) => first.toUpperCase());
  return /[.:]$/.test(capital) ? capital : `${capital}.`;
}

function table(rows: readonly (readonly (string | undefined)[])[]): string {
  const cell = (text = ''): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
  return ['| | |', '| --- | --- |', ...rows.map((row) => `| ${row.map(cell).join(' | ')} |`)].join('\n');
}
