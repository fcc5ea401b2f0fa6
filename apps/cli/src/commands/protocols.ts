import type { FaultKind, ProtocolSimulationReport } from '@drvs/drvmm-core';
import type { Command } from 'commander';
import { Exit, usage } from '../failure.js';
import { renderFacts } from '../output/table.js';
import type { Shell } from '../shell.js';

const MAX_EVENTS = 100_000_000;
const MAX_SEEDS = 10_000;

interface ProtocolWords {
  nodes: string;
  seed?: string;
  seeds: string;
  events: string;
  faults: string;
}

export function registerProtocols(program: Command, shell: Shell): void {
  const sim =
    program.commands.find((command) => command.name() === 'sim') ??
    program.command('sim').description('the cluster in virtual time, with no cluster at hand');
  sim
    .command('protocols')
    .description('membership, consensus and locks under faults; exit 1 when a promise of theirs is broken')
    .option('--nodes <count>', 'nodes of the cluster, five to each consensus group', '20')
    .option('--seed <number>', 'repeats a run exactly; a new one each time without it')
    .option('--seeds <count>', 'so many runs, with this seed and those that follow it', '1')
    .option('--events <count>', 'events of a run until its faults end', '500000')
    .option('--faults <kinds>', 'all, none, or some, separated by commas', 'all')
    .action(async (words: ProtocolWords) => {
      // Only here: the other commands need none of it.
      const { FAULT_KINDS, MAX_SIMULATED_NODES, NODES_PER_GROUP, simulateProtocols } = await import(
        '@drvs/drvmm-core'
      );
      const nodes = wholeNumber('--nodes', words.nodes, NODES_PER_GROUP, MAX_SIMULATED_NODES);
      const events = wholeNumber('--events', words.events, 1, MAX_EVENTS);
      const seeds = wholeNumber('--seeds', words.seeds, 1, MAX_SEEDS);
      const first =
        words.seed === undefined
          ? Math.floor(Math.random() * 2 ** 32)
          : wholeNumber('--seed', words.seed, 0, Number.MAX_SAFE_INTEGER - MAX_SEEDS);
      const faults = faultKinds(words.faults, FAULT_KINDS);
      const progress = shell.progress();
      let report: ProtocolSimulationReport;
      for (let done = 0; ; ) {
        const seed = first + done;
        const onProgress = (share: number): void => progress.show(`seed ${seed}`, (done + share) / seeds);
        report = simulateProtocols({ nodes, seed, events, faults, onProgress });
        done++;
        progress.show(`seed ${seed}`, done / seeds);
        // The first run that breaks something is the one to look at.
        if (report.violations.length > 0 || done >= seeds) break;
      }
      progress.clear();
      shell.answer(report, render);
      if (report.violations.length > 0) throw new Exit(1);
    });
}

function render(report: ProtocolSimulationReport): string {
  const { seed, nodes, groups, virtualSeconds, events, digest, faults, violations, counters } = report;
  const facts = renderFacts([
    ['seed', String(seed)],
    ['nodes', String(nodes)],
    ['consensus groups', String(groups)],
    ['faults', faults.length > 0 ? faults.join(', ') : 'none'],
    ['virtual time', `${virtualSeconds} s`],
    ['events', String(events)],
    ['digest', digest],
    ...Object.entries(counters)
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([name, count]): [string, string] => [name, String(count)]),
    ['violations', violations.length === 0 ? 'none' : String(violations.length)],
  ]);
  return facts + violations.map((violation) => `  ${violation}\n`).join('');
}

function wholeNumber(option: string, word: string, min: number, max: number): number {
  const value = Number(word);
  if (!/^\d{1,16}$/.test(word) || value < min || value > max) {
    throw usage(`${option} is a whole number from ${min} to ${max}, not ${word}`);
  }
  return value;
}

function faultKinds(text: string, known: readonly FaultKind[]): readonly FaultKind[] {
  if (text === 'all') return known;
  if (text === 'none') return [];
  return text.split(',').map((word) => {
    const kind = known.find((one) => one === word.trim());
    if (kind === undefined) throw usage(`there is no fault ${word}`, `The faults are ${known.join(', ')}.`);
    return kind;
  });
}
