import { readFile } from 'node:fs/promises';
import {
  type NodePowerView,
  type OperationView,
  POWER_DRIVERS,
  type PowerReadingView,
} from '@drvs/contracts';
import { type Command, Option } from 'commander';
import { usage } from '../failure.js';
import { renderFacts, renderTable } from '../output/table.js';
import { formatAgo } from '../quantities.js';
import type { Shell } from '../shell.js';
import { jsonOrText } from './json-or-text.js';
import { noWait } from './no-wait.js';

const SECRET_MAX_BYTES = 16_384;

interface SetOptions {
  driver?: string;
  mac?: string;
  host?: string;
  user?: string;
  pin?: string;
  set: string[];
  model: string[];
  statedModel?: boolean;
  passwordFile?: string;
  envFile?: string;
  forgetSecret?: boolean;
  automatic?: string;
}

interface SwitchOptions {
  force?: boolean;
  yes?: boolean;
  open?: boolean;
  wait: boolean;
}

const path = (name: string): string => `/nodes/${encodeURIComponent(name)}/power`;
const collect = (word: string, before: string[]): string[] => [...before, word];

export function registerPower(node: Command, shell: Shell): void {
  const power = node
    .command('power')
    .description('switch nodes off and on; how each is switched, and what it draws');

  const turn = async (name: string, to: 'on' | 'off', options: SwitchOptions): Promise<void> => {
    if (options.force) {
      await shell.confirm(`Switch ${name} off with what is on it? What runs there stops.`, options.yes);
    }
    const operation = await (await shell.client()).post<OperationView>(path(name), {
      power: to,
      force: options.force ? name : undefined,
      open: to === 'on' ? options.open : undefined,
    });
    const ended = await shell.ended(operation, options.wait);
    if (ended) shell.answer(ended, () => `${name} is ${to}\n`);
  };

  power
    .command('off')
    .description('switch a drained node off')
    .argument('<node>')
    .option('--force', 'also with what is on it: it stops there')
    .option('-y, --yes', 'do not ask')
    .addOption(noWait())
    .action((name: string, options: SwitchOptions) => turn(name, 'off', options));

  power
    .command('on')
    .description('switch a node on, and wait until its agent has joined')
    .argument('<node>')
    .option('--open', 'it takes new work again at once; without, when it is restored')
    .addOption(noWait())
    .action((name: string, options: SwitchOptions) => turn(name, 'on', options));

  power
    .command('status')
    .description('the power of a node, or of all')
    .argument('[node]')
    .action(async (name?: string) => {
      const client = await shell.client();
      if (name !== undefined) return shell.answer(await client.get<NodePowerView>(path(name)), renderPower);
      shell.table(
        await client.get<NodePowerView[]>('/power'),
        {
          NODE: (view) => view.node,
          POWER: ({ state }) => state,
          DRIVER: ({ driver }) => driver,
          WATTS: ({ watts, source }) => `${watts.toFixed(0)} (${source})`,
          AUTOMATIC: ({ automatic }) => (automatic ? 'yes' : 'no'),
          SINCE: ({ since }) => formatAgo(since, Date.now()),
          REASON: ({ reason }) => reason,
        },
        'no nodes yet',
      );
    });

  power
    .command('set')
    .description('how a node is switched, and what it draws')
    .argument('<node>')
    .addOption(new Option('--driver <name>', 'what switches it').choices([...POWER_DRIVERS]))
    .option('--mac <address>', 'wol: of the card that listens')
    .option('--host <name>', 'ipmi, redfish: of the management controller')
    .option('--user <name>', 'ipmi, redfish')
    .option('--pin <sha256>', "redfish: of the service's certificate")
    .option('--set <k=v>', 'any setting of the driver; the value is JSON, or text as it is', collect, [])
    .option('--password-file <file>', 'the password for the driver; - is standard input')
    .option('--env-file <file>', 'command: NAME=value lines for its environment')
    .option('--forget-secret', 'remove the password or environment')
    .option('--automatic <yes|no>', 'whether planners may switch it by themselves')
    .option('--model <k=v>', 'idleWatts, fullWatts, offWatts, bootSeconds, restWatts, curve', collect, [])
    .option('--stated-model', 'what it draws is as stated for a machine of its size')
    .action(async (name: string, options: SetOptions) => {
      const body = await changeOf(shell, options);
      shell.answer(await (await shell.client()).patch<NodePowerView>(path(name), body), renderPower);
    });

  power
    .command('test')
    .description("read a node's power by its driver; nothing is switched")
    .argument('<node>')
    .action(async (name: string) => {
      const reading = await (await shell.client()).post<PowerReadingView>(`${path(name)}/test`);
      shell.answer(
        reading,
        ({ power: seen, watts, detail, driver, milliseconds }) =>
          `${name} is ${seen}${watts === null ? '' : `, ${watts} W`} by ${driver} in ${milliseconds} ms: ${detail}\n`,
      );
    });

  // `node power NODE on|off`, as it reads.
  power
    .command('switch', { isDefault: true, hidden: true })
    .argument('<node>')
    .argument('<on|off>')
    .option('--force', 'also with what is on it')
    .option('-y, --yes', 'do not ask')
    .option('--open', 'it takes new work again at once')
    .addOption(noWait())
    .action((name: string, to: string, options: SwitchOptions) => {
      if (to !== 'on' && to !== 'off') {
        throw usage(`"${to}" is neither on nor off`, `Write: drvs node power ${name} on`);
      }
      return turn(name, to, options);
    });
}

async function changeOf(shell: Shell, options: SetOptions): Promise<Record<string, unknown>> {
  const { mac, host, user, pin } = options;
  const named = Object.entries({ mac, host, user, pin }).filter(([, value]) => value !== undefined);
  const settings = { ...Object.fromEntries(named), ...pairs(options.set) };
  const model = pairs(options.model);
  const body: Record<string, unknown> = { driver: options.driver };
  if (Object.keys(settings).length > 0) body.settings = settings;
  if (Object.keys(model).length > 0) body.model = model;
  if (options.statedModel) body.model = null;
  if (options.forgetSecret) body.secret = null;
  if (options.passwordFile !== undefined) {
    body.secret = { password: (await secretText(shell, options.passwordFile)).replace(/\r?\n$/, '') };
  }
  if (options.envFile !== undefined)
    body.secret = { environment: lines(await secretText(shell, options.envFile)) };
  if (options.automatic !== undefined) {
    if (!/^(yes|no)$/.test(options.automatic))
      throw usage('--automatic is yes or no', 'Write --automatic no.');
    body.automatic = options.automatic === 'yes';
  }
  return body;
}

async function secretText(shell: Shell, file: string): Promise<string> {
  if (file === '-') return (await shell.readStdin(SECRET_MAX_BYTES)).toString('utf8');
  return readFile(file, 'utf8');
}

/** @throws Failure for a word without `=` */
export function pairs(words: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    words.map((word) => {
      const at = word.indexOf('=');
      if (at < 1) throw usage(`"${word}" is not of the form k=v`, 'For instance --set port=623.');
      return [word.slice(0, at), jsonOrText(word.slice(at + 1))];
    }),
  );
}

function lines(text: string): Record<string, string> {
  return Object.fromEntries(
    text
      .split(/\r?\n/)
      .filter((line) => /^[^#=\s]+=/.test(line))
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
}

function renderPower(view: NodePowerView): string {
  const { model } = view;
  return (
    renderFacts([
      ['Node', view.node],
      ['Power', view.state],
      ['Since', formatAgo(view.since, Date.now())],
      ['Until', view.deadline],
      ['Because', view.reason || null],
      ['Failures', view.failures > 0 ? `${view.failures} in a row` : null],
      ['Driver', view.driver],
      ['Secret', view.hasSecret ? 'set' : null],
      ['Planners may switch it', view.automatic ? 'yes' : 'no'],
      ['Draws', `${view.watts} W (${view.source})`],
      [
        'Model',
        `${model.idleWatts} W idle, ${model.fullWatts} W busy, ${model.offWatts} W off (${model.origin})`,
      ],
      ['Boots in', `${model.bootSeconds} s`],
    ]) +
    (Object.keys(view.settings).length === 0
      ? ''
      : `\n${renderTable(
          ['SETTING', 'VALUE'],
          Object.entries(view.settings).map(([key, value]) => [
            key,
            typeof value === 'string' ? value : JSON.stringify(value),
          ]),
        )}`)
  );
}
