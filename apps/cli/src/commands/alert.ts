import { ALERT_METRICS, ALERT_SEVERITIES, type AlertRuleView, type AlertView } from '@drvs/contracts';
import { type Command, Option } from 'commander';
import { usage } from '../failure.js';
import { formatAgo, parseDurationSeconds } from '../quantities.js';
import type { Shell } from '../shell.js';

const LISTED = 100;

interface RuleOptions {
  threshold?: number;
  clear?: number;
  for?: number;
  severity?: string;
  mail?: string[];
  webhook?: string[];
}

export function registerAlert(program: Command, shell: Shell): void {
  const alert = program.command('alert').description('rules that watch over the cluster, and what they find');
  const rulePath = (name: string): string => `/alert-rules/${encodeURIComponent(name)}`;

  alert
    .command('list')
    .alias('ls')
    .description('alerts that are not resolved')
    .addOption(new Option('--state <state>').choices(['pending', 'firing', 'resolved']))
    .action(async (options: { state?: string }) => {
      shell.table(
        await (await shell.client()).list<AlertView>('/alerts', options, LISTED),
        {
          ID: ({ id }) => id,
          SEVERITY: ({ severity }) => severity,
          RULE: ({ rule }) => rule,
          SUBJECT: ({ subject }) => subject,
          STATE: ({ state, silencedUntil }) =>
            silencedUntil && Date.parse(silencedUntil) > Date.now() ? `${state} (silenced)` : state,
          VALUE: ({ value }) => (value === null ? '-' : String(Math.round(value * 100) / 100)),
          SINCE: ({ since }) => formatAgo(since, Date.now()),
        },
        'no alerts',
      );
    });

  alert
    .command('rules')
    .description('what is watched')
    .action(async () => {
      shell.table(
        await (await shell.client()).list<AlertRuleView>('/alert-rules'),
        {
          NAME: ({ name }) => name,
          METRIC: ({ metric }) => metric,
          FIRES: ({ comparison, threshold }) => `${comparison} ${threshold}`,
          ENDS: ({ clearThreshold }) => String(clearThreshold),
          FOR: ({ forSeconds }) => `${forSeconds}s`,
          SEVERITY: ({ severity }) => severity,
          SUBJECT: ({ subject }) => subject ?? '*',
          DEPARTMENT: ({ tenant }) => tenant ?? '-',
          TELLS: ({ mailTo, webhooks }) => [...mailTo, ...webhooks].join(',') || '-',
          ON: ({ enabled }) => (enabled ? 'yes' : 'no'),
        },
        'no rules',
      );
    });

  const fields = (command: Command): Command =>
    command
      .option('--clear <number>', 'it ends past this; without it past the threshold', number)
      .option('--for <duration>', 'how long it must be so, such as 5m', parseDurationSeconds)
      .addOption(new Option('--severity <severity>').choices(ALERT_SEVERITIES))
      .option('--mail <addresses>', 'whom to write to, with commas between them', words)
      .option('--webhook <ids>', 'webhooks that are told whatever they listen to', words);

  fields(
    alert
      .command('create')
      .description('watch something')
      .argument('<name>')
      .addOption(new Option('--metric <metric>').choices(ALERT_METRICS).makeOptionMandatory())
      .option('--above <number>', 'it fires while the value is above this', number)
      .option('--below <number>', 'it fires while the value is below this', number)
      .option('--subject <subject>', 'only this one, such as node/node1 or drvm/physics/fisica')
      .option('--tenant <tenant>', 'the department whose rule it is'),
  ).action(
    async (
      name: string,
      options: RuleOptions & {
        metric: string;
        above?: number;
        below?: number;
        subject?: string;
        tenant?: string;
      },
    ) => {
      const { above, below, metric, subject, tenant } = options;
      if ((above === undefined) === (below === undefined))
        throw usage('a rule fires above a value or below one', 'Give --above or --below.');
      const rule = await (await shell.client()).post<AlertRuleView>('/alert-rules', {
        name,
        metric,
        subject: subject ?? null,
        tenant,
        comparison: above === undefined ? 'below' : 'above',
        threshold: above ?? below,
        ...bodyOf(options),
      });
      shell.answer(rule, () => `${name} watches ${metric}\n`);
    },
  );

  fields(
    alert
      .command('change')
      .description('change a rule, or switch it on or off')
      .argument('<name>')
      .option('--threshold <number>', 'it fires past this', number)
      .option('--on', 'watch')
      .option('--off', 'do not watch'),
  ).action(async (name: string, options: RuleOptions & { on?: boolean; off?: boolean }) => {
    const enabled = options.on ? true : options.off ? false : undefined;
    const rule = await (await shell.client()).patch<AlertRuleView>(rulePath(name), {
      threshold: options.threshold,
      enabled,
      ...bodyOf(options),
    });
    shell.answer(
      rule,
      () => `${name} is ${rule.enabled ? 'on' : 'off'}, ${rule.comparison} ${rule.threshold}\n`,
    );
  });

  alert
    .command('delete')
    .alias('remove')
    .description('watch it no more')
    .argument('<name>')
    .action(async (name: string) => {
      await (await shell.client()).delete(rulePath(name));
      shell.answer({ name }, () => `${name} deleted\n`);
    });

  alert
    .command('silence')
    .description('tell nobody of an alert for a time')
    .argument('<id>')
    .option('--for <duration>', 'how long, such as 2h', parseDurationSeconds, 3_600)
    .option('--end', 'tell again')
    .action(async (id: string, options: { for: number; end?: boolean }) => {
      const seconds = options.end ? 0 : options.for;
      const view = await (await shell.client()).post<AlertView>(`/alerts/${encodeURIComponent(id)}/silence`, {
        seconds,
      });
      shell.answer(view, ({ silencedUntil }) =>
        silencedUntil === null ? `${id} is told of again\n` : `${id} is silent until ${silencedUntil}\n`,
      );
    });
}

const words = (text: string): string[] => text.split(',').map((word) => word.trim());

function number(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw usage(`"${text}" is not a number`);
  return value;
}

function bodyOf(options: RuleOptions): Record<string, unknown> {
  return {
    clearThreshold: options.clear,
    forSeconds: options.for,
    severity: options.severity,
    mailTo: options.mail,
    webhooks: options.webhook,
  };
}
