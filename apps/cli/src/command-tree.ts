import type { Argument, Command, Option } from 'commander';

/** A command that does something, with the words that lead to it: `node show`. */
export interface Leaf {
  path: string;
  command: Command;
}

/** All commands that a user may call, in the order of the help; those that group others are not among them. */
export function leavesOf(program: Command): Leaf[] {
  return childrenOf(program).flatMap((child) => walk(child, child.name()));
}

function walk(command: Command, path: string): Leaf[] {
  const unnamed = defaultOf(command);
  const children = childrenOf(command);
  if (children.length === 0 && !unnamed) return [{ path, command }];
  return [
    ...(unnamed ? [{ path, command: unnamed }] : []),
    ...children.flatMap((child) => walk(child, `${path} ${child.name()}`)),
  ];
}

/** Those that are shown: not `help`, nor what only completion calls. */
export const childrenOf = (command: Command): Command[] =>
  command
    .createHelp()
    .visibleCommands(command)
    .filter((child) => child.name() !== 'help');

/** What a group does that is called without the name of one of its commands (`node power NODE off`); mostly nothing. */
export function defaultOf(command: Command): Command | undefined {
  const { _defaultCommandName: name } = command as unknown as { _defaultCommandName: string | null };
  const found = command.commands.find((child) => child.name() === name);
  return found && !childrenOf(command).includes(found) ? found : undefined;
}

/** As usage writes it: `<node>`, `[args...]`. */
export function argumentText(argument: Argument): string {
  const name = `${argument.name()}${argument.variadic ? '...' : ''}`;
  return argument.required ? `<${name}>` : `[${name}]`;
}

export const optionsOf = (command: Command): Option[] => command.options.filter(({ hidden }) => !hidden);
