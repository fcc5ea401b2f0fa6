import { readFile } from 'node:fs/promises';
import type { DayReport, Trace } from '@drvs/policy';
import type { Command } from 'commander';
import { Exit, Failure, usage } from '../failure.js';
import { renderTable } from '../output/table.js';
import type { Shell } from '../shell.js';
import { readTrace } from './trace-file.js';

interface DayWords {
  nodes: string;
  hours: string;
  seed: string;
  policy?: string;
  trace?: string;
  traceFormat?: string;
  traceFrom: string;
  traceShare: string;
}

export function registerSim(program: Command, shell: Shell): void {
  const sim = program.command('sim').description('the cluster in virtual time, with no cluster at hand');
  sim
    .command('day')
    .description('a day of load under the planners, against doing nothing and simple placement rules')
    .option('--nodes <count>', 'nodes of the cluster', '1000')
    .option('--hours <count>', 'length of the day', '24')
    .option('--seed <number>', 'the same seed gives the same day', '1')
    .option('--policy <file>', 'planner policy in JSON: values in place of the defaults')
    .option(
      '--trace <file>',
      'load from a public cluster trace (CSV, also .gz) in place of the synthetic laws',
    )
    .option('--trace-format <name>', 'its kind, where the first line does not tell it')
    .option('--trace-from <hours>', 'begin so many hours after the beginning of the trace', '0')
    .option('--trace-share <part>', 'take a part of it, 0 to 1, for a smaller cluster', '1')
    .action(async (words: DayWords) => {
      const { plannerPolicy, simulateDay } = await import('@drvs/policy');
      const policy = plannerPolicy(words.policy === undefined ? {} : await readPolicy(words.policy));
      const options = {
        nodes: wholeNumber('--nodes', words.nodes),
        hours: wholeNumber('--hours', words.hours),
        seed: wholeNumber('--seed', words.seed),
        policy,
      };
      const trace = words.trace === undefined ? undefined : await traceOf(words.trace, words, options);
      shell.progress().show(`living through ${options.hours} hours of ${options.nodes} nodes …`);
      const report = simulateDay({ ...options, trace });
      shell.progress().clear();
      shell.answer(report, render);
      if (report.violations.length > 0) throw new Exit(1);
    });
}

function wholeNumber(option: string, word: string): number {
  if (!/^\d{1,10}$/.test(word)) throw usage(`${option} is a whole number, not ${word}`);
  return Number(word);
}

async function traceOf(
  path: string,
  { traceFormat, traceFrom, traceShare }: DayWords,
  { hours, seed }: { hours: number; seed: number },
): Promise<Trace> {
  const { TRACE_FORMATS } = await import('@drvs/policy');
  const format = TRACE_FORMATS.find((name) => name === traceFormat) ?? null;
  if (traceFormat !== undefined && format === null)
    throw usage(`--trace-format is one of ${TRACE_FORMATS.join(', ')}, not ${traceFormat}`);
  const share = Number(traceShare);
  if (!(share > 0 && share <= 1)) throw usage(`--trace-share is above 0 and at most 1, not ${traceShare}`);
  const fromHours = wholeNumber('--trace-from', traceFrom);
  return readTrace(path, { format, fromHours, hours, share, seed });
}

async function readPolicy(path: string): Promise<object> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new Failure('NotFound', `the policy ${path} cannot be read: ${(error as Error).message}`, {
      field: 'policy',
    });
  }
  try {
    return JSON.parse(text) as object;
  } catch (error) {
    throw new Failure('InvalidInput', `the policy ${path} is not JSON: ${(error as Error).message}`, {
      field: 'policy',
      hint: 'For instance {"power": {"headroomKept": 0.2}}; docs/policies.md lists all values.',
    });
  }
}

function render(report: DayReport): string {
  const { nodes, virtualSeconds, seed, drvms, failures, trace, violations, contenders } = report;
  const rows = contenders.map((day) => [
    day.name,
    percent(day.utilisation),
    day.energyKWh.toFixed(0),
    (day.cpuHours.delivered > 0 ? (day.energyKWh * 1000) / day.cpuHours.delivered : 0).toFixed(1),
    day.nodeHoursOn.toFixed(0),
    percent(day.cpuHours.wanted > 0 ? day.cpuHours.delivered / day.cpuHours.wanted : 1),
    day.guaranteeMissedCpuHours.toFixed(1),
    `${day.moves.slices}+${day.moves.processes}`,
    day.moves.gib.toFixed(0),
    `${day.switches.off}/${day.switches.on}`,
    `${day.batches.placed}/${day.batches.refused}`,
  ]);
  const head = [
    'POLICY',
    'USED',
    'KWH',
    'WH/VCPU-H',
    'NODE-H',
    'DELIVERED',
    'MISSED',
    'MOVES',
    'GIB',
    'OFF/ON',
    'BATCHES',
  ];
  return [
    `${nodes} nodes, ${virtualSeconds / 3600} hours, seed ${seed}: ${drvms.residents} DRVMs all day, ${drvms.batches} batches, ${failures} nodes fail\n`,
    trace ? `load of a trace (${trace.format}, ${trace.lines} lines, ${trace.unused} of no use)\n\n` : '\n',
    renderTable(head, rows),
    '\nUSED of the nodes that were on; DELIVERED of the CPU wanted up to ceilings; MISSED vCPU hours within guarantees;\n',
    'MOVES of slices and of processes; BATCHES placed and refused.\n',
    ...violations.map((violation) => `broken: ${violation}\n`),
  ].join('');
}

const percent = (part: number): string => `${(part * 100).toFixed(1)} %`;
