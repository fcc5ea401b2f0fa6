import { readFile } from 'node:fs/promises';
import type { DayReport } from '@drvs/policy';
import type { Command } from 'commander';
import { Exit, Failure, usage } from '../failure.js';
import { renderTable } from '../output/table.js';
import type { Shell } from '../shell.js';

interface DayWords {
  nodes: string;
  hours: string;
  seed: string;
  policy?: string;
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
    .action(async (words: DayWords) => {
      const { plannerPolicy, simulateDay } = await import('@drvs/policy');
      const policy = plannerPolicy(words.policy === undefined ? {} : await readPolicy(words.policy));
      const options = {
        nodes: wholeNumber('--nodes', words.nodes),
        hours: wholeNumber('--hours', words.hours),
        seed: wholeNumber('--seed', words.seed),
        policy,
      };
      shell.progress().show(`living through ${options.hours} hours of ${options.nodes} nodes …`);
      const report = simulateDay(options);
      shell.progress().clear();
      shell.answer(report, render);
      if (report.violations.length > 0) throw new Exit(1);
    });
}

function wholeNumber(option: string, word: string): number {
  if (!/^\d{1,10}$/.test(word)) throw usage(`${option} is a whole number, not ${word}`);
  return Number(word);
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
  const { nodes, virtualSeconds, seed, drvms, failures, violations, contenders } = report;
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
    `${nodes} nodes, ${virtualSeconds / 3600} hours, seed ${seed}: ${drvms.residents} DRVMs all day, ${drvms.batches} batches, ${failures} nodes fail\n\n`,
    renderTable(head, rows),
    '\nUSED of the nodes that were on; DELIVERED of the CPU wanted up to ceilings; MISSED vCPU hours within guarantees;\n',
    'MOVES of slices and of processes; BATCHES placed and refused.\n',
    ...violations.map((violation) => `broken: ${violation}\n`),
  ].join('');
}

const percent = (part: number): string => `${(part * 100).toFixed(1)} %`;
