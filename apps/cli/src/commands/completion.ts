/**
 * Completion for bash, zsh and fish: each shell asks `drvs __complete WORDS…` for the candidates, so that commands and
 * options are those of this version, and names of what there is come from the DRVS itself.
 */
import { Argument, type Command, type Option } from 'commander';
import { childrenOf, defaultOf, optionsOf } from '../command-tree.js';
import type { Shell } from '../shell.js';
import { type Listing, namesOf } from './completion-names.js';

const SCRIPTS = {
  // bash parts words at `=` and `:`; the words are read anew, and what stands before the last of these is taken off again.
  bash: `_drvs() {
  local line=\${COMP_LINE:0:COMP_POINT} words typed prefix candidate
  read -ra words <<< "$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  typed=\${words[-1]}
  prefix=\${typed%"\${typed##*[=:]}"}
  COMPREPLY=()
  while IFS= read -r candidate; do
    [[ $candidate ]] && COMPREPLY+=("\${candidate#"$prefix"}")
  done < <("\${words[0]}" __complete -- "\${words[@]:1}" 2>/dev/null)
  if [[ \${#COMPREPLY[@]} -eq 1 && \${COMPREPLY[0]} == *[=:] ]]; then compopt -o nospace 2>/dev/null; fi
}
complete -o default -F _drvs drvs ./drvs
`,
  zsh: `#compdef drvs
_drvs() {
  local -a candidates
  candidates=("\${(@f)$("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if (( \${#candidates} )) && [[ -n \${candidates[1]} ]]; then compadd -a candidates; else _files; fi
}
compdef _drvs drvs ./drvs
`,
  fish: `function __drvs_complete
  set -l words (commandline -opc) (commandline -ct)
  set -l candidates ($words[1] __complete -- $words[2..-1] 2>/dev/null)
  if set -q candidates[1]
    printf '%s\\n' $candidates
  else
    __fish_complete_path (commandline -ct)
  end
end
complete -c drvs -f -a '(__drvs_complete)'
`,
} as const;

export function registerCompletion(program: Command, shell: Shell): void {
  program
    .command('completion')
    .description('a script that completes commands: drvs completion bash >> ~/.bashrc')
    .addArgument(new Argument('<shell>').choices(Object.keys(SCRIPTS)))
    .action((name: keyof typeof SCRIPTS) => shell.out(SCRIPTS[name]));

  program
    .command('__complete', { hidden: true })
    .argument('[words...]')
    .allowUnknownOption()
    .action(async (words: string[]) => {
      const candidates = await candidatesFor(program, words, (listing) => namesOf(shell, listing));
      shell.out(candidates.map((candidate) => `${candidate}\n`).join(''));
    });
}

/** Where the things are listed that a group of commands is about; other groups are about what is listed by their plural. */
const LIST_OF_GROUP: Readonly<Record<string, string>> = { op: '/operations' };
/** Arguments and options that name things of another group. */
const GROUP_OF_NAME: Readonly<Record<string, string>> = {
  drvm: 'drvm',
  node: 'node',
  nodes: 'node',
  to: 'node',
  from: 'node',
  tenant: 'tenant',
  user: 'user',
  operation: 'op',
  template: 'template',
};
/** What exists before it is made has no name to complete. */
const MAKES = new Set(['create', 'add', 'import', 'login']);

/** @param words what stands after the program's name; the last one is being typed */
export async function candidatesFor(
  program: Command,
  words: readonly string[],
  names: (listing: Listing) => Promise<string[]>,
): Promise<string[]> {
  const typed = words.at(-1) ?? '';
  const { command, operands, pending, isProgram } = walk(program, words.slice(0, -1));
  if (isProgram) return [];
  const starting = (all: readonly string[], start = typed): string[] =>
    [...new Set(all)].filter((each) => each.startsWith(start)).sort();

  const valuesOf = async (option: Option, start: string): Promise<string[]> => {
    if (option.argChoices) return starting(option.argChoices, start);
    const listing = listingOf(option.attributeName(), command, operands);
    if (!listing) return [];
    // Several names stand in one word, parted by commas: the last is being typed.
    const before = start.slice(0, start.lastIndexOf(',') + 1);
    const all = await names(listing);
    return starting(
      all.map((each) => before + each),
      start,
    );
  };

  if (pending) return valuesOf(pending, typed);
  const options = [...optionsOf(command), ...(defaultOf(command)?.options ?? []), ...optionsOf(program)];
  if (typed.startsWith('--') && typed.includes('=')) {
    const at = typed.indexOf('=');
    const option = options.find(({ long }) => long === typed.slice(0, at));
    const values = option ? await valuesOf(option, typed.slice(at + 1)) : [];
    return values.map((value) => typed.slice(0, at + 1) + value);
  }
  if (typed.startsWith('-')) {
    return starting([...options.map(({ long }) => long ?? ''), '--help'].filter((long) => long));
  }
  const children = childrenOf(command);
  const target = children.length > 0 ? defaultOf(command) : command;
  const commands = operands.length === 0 ? starting(children.map((each) => each.name())) : [];
  const argument = target && argumentAt(target, operands.length);
  if (!target || !argument) return commands;
  if (argument.argChoices) return starting([...commands, ...argument.argChoices]);
  if (argument.name().includes('|')) return starting([...commands, ...argument.name().split('|')]);
  // A file of a DRVM is written with its name before a colon.
  if (command.name() === 'cp')
    return typed.includes(':') ? [] : colons(await names({ path: '/drvms', key: 'name' }));
  const listing = listingOf(argument.name(), target, operands);
  return listing ? starting([...commands, ...(await names(listing))]) : commands;

  function colons(drvms: readonly string[]): string[] {
    return typed === '' ? [] : starting(drvms.map((name) => `${name}:`));
  }
}

interface Place {
  command: Command;
  operands: string[];
  /** An option whose value is being typed. */
  pending: Option | null;
  /** What is typed belongs to the program of `run`. */
  isProgram: boolean;
}

function walk(program: Command, words: readonly string[]): Place {
  const place: Place = { command: program, operands: [], pending: null, isProgram: false };
  for (const word of words) {
    const { command, operands } = place;
    if (place.pending) {
      place.pending = null;
      continue;
    }
    if (word.startsWith('-') && word !== '-') {
      const known = [...command.options, ...(defaultOf(command)?.options ?? []), ...program.options];
      const option = known.find(({ long, short }) => word === long || word === short);
      place.pending = option?.required ? option : null;
      continue;
    }
    const child = command.commands.find((each) => each.name() === word || each.aliases().includes(word));
    if (child && operands.length === 0) place.command = child;
    else operands.push(word);
  }
  place.isProgram =
    place.command.name() === 'run' && place.command.parent === program && place.operands.length > 1;
  return place;
}

function argumentAt(command: Command, index: number): Argument | undefined {
  const { registeredArguments } = command;
  const last = registeredArguments.at(-1);
  return registeredArguments[index] ?? (last?.variadic ? last : undefined);
}

/** Which list holds the names that may stand here; null where anything may. */
function listingOf(name: string, command: Command, operands: readonly string[]): Listing | null {
  const other = GROUP_OF_NAME[name];
  if (other) return { path: listOf(other), key: other === 'op' ? 'id' : 'name' };
  const [drvm] = operands;
  const inside = drvm === undefined ? null : `/drvms/${encodeURIComponent(drvm)}`;
  if (name === 'pid') return inside === null ? null : { path: `${inside}/processes`, key: 'pid' };
  if (name === 'snapshot') return inside === null ? null : { path: `${inside}/snapshots`, key: 'name' };
  const group = groupOf(command);
  if (group === null || MAKES.has(command.name())) return null;
  return name === 'name' || name === 'id' ? { path: listOf(group), key: name } : null;
}

/** `drvm` for `drvm show`; null for a command of its own. */
function groupOf(command: Command): string | null {
  let group = command.parent;
  while (group?.parent?.parent) group = group.parent;
  return group?.parent ? group.name() : null;
}

const listOf = (group: string): string =>
  LIST_OF_GROUP[group] ?? `/${group.endsWith('y') ? `${group.slice(0, -1)}ies` : `${group}s`}`;
