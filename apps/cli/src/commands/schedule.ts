import { RESTORE_MODES, type ScheduleView } from '@drvs/contracts';
import { type Command, Option } from 'commander';
import { usage } from '../failure.js';
import { renderFacts } from '../output/table.js';
import { formatAgo } from '../quantities.js';
import type { Shell } from '../shell.js';

/** Kinds of plans that may be scheduled, and whether each names a node. */
const KINDS: Readonly<Record<string, boolean>> = {
  balance: false,
  consolidate: false,
  reallocate: false,
  power: false,
  drain: true,
  restore: true,
  evacuate: true,
};

interface CreateOptions {
  cron: string;
  timeZone: string;
  mode?: string;
  missed: string;
  disabled?: boolean;
}

export function registerSchedule(program: Command, shell: Shell): void {
  const schedule = program
    .command('schedule')
    .description('plans that are made and carried out at given times');
  const path = (name: string): string => `/schedules/${encodeURIComponent(name)}`;

  schedule
    .command('list')
    .alias('ls')
    .description('all schedules, and when each runs next')
    .action(async () => {
      const schedules = await (await shell.client()).list<ScheduleView>('/schedules');
      shell.table(
        schedules,
        {
          NAME: ({ name }) => name,
          PLAN: planText,
          CRON: ({ cron }) => cron,
          ZONE: ({ timeZone }) => timeZone,
          NEXT: ({ enabled, nextRuns }) => (enabled ? (nextRuns[0] ?? 'never') : 'stopped'),
          LAST: ({ lastRunAt }) => formatAgo(lastRunAt, Date.now()),
          OUTCOME: ({ lastOutcome }) => lastOutcome ?? '-',
        },
        'no schedules; for instance: drvs schedule create night --cron "0 2 * * *" consolidate',
      );
    });

  schedule
    .command('show')
    .description('one schedule, with the times to come')
    .argument('<name>')
    .action(async (name: string) => {
      shell.answer(await (await shell.client()).get<ScheduleView>(path(name)), render);
    });

  schedule
    .command('create')
    .description('have a plan carried out at the times of an expression of cron')
    .argument('<name>')
    .argument('<kind>', Object.keys(KINDS).join(', '))
    .argument('[node]', 'of a drain, a restore or an evacuation')
    .requiredOption('--cron <expression>', 'minute, hour, day of the month, month, day of the week')
    .option('--time-zone <zone>', 'on whose clock, for instance America/Argentina/Buenos_Aires', 'UTC')
    .addOption(new Option('--mode <mode>', 'of a restore').choices(RESTORE_MODES))
    .addOption(
      new Option('--missed <rule>', 'what becomes of times that pass while nobody is there')
        .choices(['skip', 'run-once'])
        .default('skip'),
    )
    .option('--disabled', 'do not run it yet')
    .action(async (name: string, kind: string, node: string | undefined, options: CreateOptions) => {
      const namesNode = KINDS[kind];
      if (namesNode === undefined)
        throw usage(`there are no plans of the kind ${kind}`, `One of ${Object.keys(KINDS).join(', ')}.`);
      if (namesNode !== (node !== undefined))
        throw usage(namesNode ? `${kind} needs a node` : `${kind} is about no single node`);
      const { cron, timeZone, mode, missed, disabled } = options;
      const made = await (await shell.client()).post<ScheduleView>('/schedules', {
        name,
        cron,
        timeZone,
        missed,
        enabled: disabled !== true,
        plan: {
          kind,
          ...(node === undefined ? {} : { node }),
          ...(mode === undefined ? {} : { mode }),
        },
      });
      shell.answer(made, render);
    });

  for (const [word, enabled, text] of [
    ['stop', false, 'run it no more until it is resumed'],
    ['resume', true, 'run it again at its times'],
  ] as const) {
    schedule
      .command(word)
      .description(text)
      .argument('<name>')
      .action(async (name: string) => {
        shell.answer(await (await shell.client()).patch<ScheduleView>(path(name), { enabled }), render);
      });
  }

  schedule
    .command('run')
    .description('run it now, besides its times')
    .argument('<name>')
    .action(async (name: string) => {
      const after = await (await shell.client()).post<ScheduleView>(`${path(name)}/run`);
      shell.answer(after, ({ lastOutcome, lastDetail, lastOperation }) => {
        const follow = lastOperation === null ? '' : `\nfollow it: drvs op wait ${lastOperation}`;
        return `${lastOutcome}: ${lastDetail}${follow}\n`;
      });
    });

  schedule
    .command('delete')
    .alias('rm')
    .description('forget a schedule')
    .argument('<name>')
    .action(async (name: string) => {
      await (await shell.client()).delete(path(name));
      shell.answer({ name }, () => `${name} deleted\n`);
    });
}

const planText = ({ plan: { kind, node, mode } }: ScheduleView): string =>
  [kind, node, mode].filter((word) => word !== undefined).join(' ');

const render = (schedule: ScheduleView): string =>
  renderFacts([
    ['Name', schedule.name],
    ['Plan', planText(schedule)],
    ['Cron', `${schedule.cron} (${schedule.timeZone})`],
    ['Runs', schedule.enabled ? schedule.nextRuns.join(', ') || 'never' : 'stopped'],
    ['Missed', schedule.missed],
    ['Last', formatAgo(schedule.lastRunAt, Date.now())],
    ['Outcome', schedule.lastOutcome && `${schedule.lastOutcome}: ${schedule.lastDetail}`],
    ['Operation', schedule.lastOperation],
    ['Made by', schedule.createdBy],
  ]);
