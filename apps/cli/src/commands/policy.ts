import { readFile } from 'node:fs/promises';
import { PLANNER_KINDS, PLANNER_MODES, type PlannerSettingsView } from '@drvs/contracts';
import type { Command } from 'commander';
import { Failure, usage } from '../failure.js';
import { renderTable } from '../output/table.js';
import type { Shell } from '../shell.js';
import { registerLending } from './loan.js';

export function registerPolicy(program: Command, shell: Shell): void {
  const policy = program
    .command('policy')
    .description('what the planners go by: which act by themselves, when, and by which values');

  policy
    .command('show')
    .description('modes, values and windows')
    .action(async () => {
      shell.answer(await (await shell.client()).get<PlannerSettingsView>('/planner'), render);
    });

  policy
    .command('set')
    .description('balance=automatic, hotUtilisation=0.75, power.nodesMin=2; VALUE= puts the default back')
    .argument('[changes...]', 'kind=off|manual|automatic, or value=number')
    .option(
      '--windows <file>',
      'when plans may be carried out by themselves, as a JSON list; all of them anew',
    )
    .action(async (words: string[], options: { windows?: string }) => {
      if (words.length === 0 && options.windows === undefined)
        throw usage('nothing to set', 'For instance: drvs policy set balance=automatic');
      const windows = options.windows === undefined ? undefined : await readWindows(options.windows);
      const change = { ...parseChanges(words), ...(windows === undefined ? {} : { windows }) };
      shell.answer(await (await shell.client()).patch<PlannerSettingsView>('/planner', change), render);
    });

  registerLending(policy, shell);
}

type PolicyChange = {
  modes?: Record<string, string>;
  policy?: Record<string, number | null | Record<string, number | null>>;
};

export function parseChanges(words: readonly string[]): PolicyChange {
  const change: PolicyChange = {};
  for (const word of words) {
    const at = word.indexOf('=');
    if (at < 1) throw usage(`"${word}" sets nothing`, 'Write name=value, for instance hotUtilisation=0.75.');
    const name = word.slice(0, at);
    const value = word.slice(at + 1);
    if ((PLANNER_KINDS as readonly string[]).includes(name)) {
      if (!(PLANNER_MODES as readonly string[]).includes(value))
        throw usage(`${name} is one of ${PLANNER_MODES.join(', ')}, not "${value}"`);
      change.modes = { ...change.modes, [name]: value };
      continue;
    }
    const number = value === '' ? null : Number(value);
    if (number !== null && !Number.isFinite(number)) throw usage(`${name} is a number, not "${value}"`);
    const [group, inner] = name.split('.', 2) as [string, string | undefined];
    const before = change.policy?.[group];
    change.policy = {
      ...change.policy,
      [group]:
        inner === undefined ? number : { ...(typeof before === 'object' ? before : {}), [inner]: number },
    };
  }
  return change;
}

async function readWindows(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw new Failure('InvalidInput', `the windows of ${path} cannot be read: ${(error as Error).message}`, {
      field: 'windows',
      hint: 'For instance [{"kinds": ["consolidate"], "effect": "only", "from": "22:00", "to": "06:00"}].',
    });
  }
}

function render({ modes, policy, changed, windows, updatedBy, updatedAt }: PlannerSettingsView): string {
  const values = Object.entries(policy).flatMap(([name, value]) =>
    typeof value === 'number'
      ? [[name, value] as const]
      : Object.entries(value).map(([inner, number]) => [`${name}.${inner}`, number] as const),
  );
  const parts = [
    renderTable(['PLANNER', 'MODE'], Object.entries(modes)),
    renderTable(
      ['VALUE', 'IS', ''],
      values.map(([name, value]) => [name, String(value), changed.includes(name) ? 'changed' : '']),
    ),
  ];
  if (windows.length > 0) {
    parts.push(
      renderTable(
        ['WINDOW', 'PLANNERS', 'DAYS', 'FROM', 'TO', 'ZONE'],
        windows.map(({ effect, kinds, days, from, to, timeZone }) => [
          effect,
          kinds.join(', '),
          days.join(', '),
          from,
          to,
          timeZone,
        ]),
      ),
    );
  }
  if (updatedBy !== null) parts.push(`Changed by ${updatedBy} at ${updatedAt}\n`);
  return parts.join('\n');
}
