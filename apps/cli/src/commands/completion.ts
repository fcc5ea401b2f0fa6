/**
 * Completion for bash, zsh and fish: each shell asks `drvs __complete WORDS…` for the candidates, so that names of
 * DRVMs, nodes and departments come from the DRVS itself. What needs the API gives up quickly: a slow answer is worse
 * than none while typing.
 */
import type { DrvmView, NodeView, TenantView } from '@drvs/contracts';
import { Argument, type Command } from 'commander';
import { sleep } from '../api/client.js';
import type { Shell } from '../shell.js';

const ANSWER_WITHIN_MS = 1_500;

const SCRIPTS = {
  bash: `_drvs() {
  local IFS=$'\\n'
  COMPREPLY=($("\${COMP_WORDS[0]}" __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
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
  $words[1] __complete -- $words[2..-1] 2>/dev/null
end
complete -c drvs -a '(__drvs_complete)'
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
      const candidates = await candidatesFor(program, words, (what) => namesOf(shell, what));
      shell.out(candidates.map((candidate) => `${candidate}\n`).join(''));
    });
}

type Kind = 'drvm' | 'node' | 'tenant';

async function namesOf(shell: Shell, kind: Kind): Promise<string[]> {
  const abort = new AbortController();
  const ask = async (): Promise<string[]> => {
    const client = await shell.client();
    const items = await client.list<DrvmView | NodeView | TenantView>(`/${kind}s`);
    return items.map(({ name }) => name);
  };
  try {
    return await Promise.race([ask(), sleep(ANSWER_WITHIN_MS, abort.signal).then(() => [])]);
  } catch {
    return []; // Not signed in, nobody there: nothing to offer, and no place to say so.
  } finally {
    abort.abort();
  }
}

/** @param words what stands after the program's name; the last one is being typed */
export async function candidatesFor(
  program: Command,
  words: readonly string[],
  names: (kind: Kind) => Promise<string[]>,
): Promise<string[]> {
  const typed = words.at(-1) ?? '';
  let command = program;
  let operands = 0;
  let pending: string | null = null;
  for (const word of words.slice(0, -1)) {
    if (pending !== null) {
      pending = null;
      continue;
    }
    if (word.startsWith('-')) {
      const option = command.options.find(({ long, short }) => word === long || word === short);
      pending = option?.required ? option.attributeName() : null;
      continue;
    }
    const child = command.commands.find((each) => each.name() === word || each.aliases().includes(word));
    if (child && operands === 0) command = child;
    else operands++;
  }
  const starting = (all: readonly string[]): string[] => all.filter((each) => each.startsWith(typed)).sort();
  if (pending !== null) {
    const option = command.options.find((each) => each.attributeName() === pending);
    if (option?.argChoices) return starting(option.argChoices);
    const kind = { node: 'node', to: 'node', tenant: 'tenant', drvm: 'drvm' }[pending] as Kind | undefined;
    return kind ? starting(await names(kind)) : [];
  }
  if (typed.startsWith('-')) {
    return starting(
      [...command.options, ...program.options].map(({ long }) => long ?? '').filter((long) => long),
    );
  }
  if (command.commands.length > 0) {
    return starting(command.commands.map((each) => each.name()).filter((name) => !name.startsWith('__')));
  }
  const argument = command.registeredArguments[operands];
  if (argument?.argChoices) return starting(argument.argChoices);
  const name = argument?.name() ?? '';
  const group = command.parent?.name();
  if (name === 'drvm' || (group === 'drvm' && name === 'name' && command.name() !== 'create')) {
    return starting(await names('drvm'));
  }
  if (name === 'node') return starting(await names('node'));
  if (name === 'tenant' || (group === 'tenant' && name === 'name' && command.name() !== 'create')) {
    return starting(await names('tenant'));
  }
  return [];
}
