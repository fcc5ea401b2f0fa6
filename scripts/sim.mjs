// The protocols of the DRVMM under faults in virtual time, many seeds, on all processors: `npm run sim -- --seeds 200`.
// Ends at once when a promise is broken, with the command that repeats that run. Needs `npm run build` before.
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { FAULT_KINDS, simulateProtocols } from '@drvs/drvmm-core';

/** Two consensus groups and two process groups, a dozen faults each: what a run shows comes from many short ones. */
const DEFAULTS = { seeds: '200', seed: '1', nodes: '10', events: '100000' };

if (isMainThread) await main();
else parentPort.on('message', (seed) => parentPort.postMessage(run(seed, workerData)));

function run(seed, { nodes, events }) {
  return simulateProtocols({ seed, nodes, events, faults: FAULT_KINDS });
}

async function main() {
  const options = Object.fromEntries(
    Object.entries(DEFAULTS).map(([name, value]) => [name, { type: 'string', default: value }]),
  );
  const { values } = parseArgs({ options });
  const [seeds, first, nodes, events] = Object.keys(DEFAULTS).map((name) => wholeNumber(name, values[name]));
  const startedAt = Date.now();
  const totals = {};
  let done = 0;
  let virtualSeconds = 0;
  let asked = 0;
  await new Promise((resolve) => {
    for (let i = 0; i < Math.min(seeds, availableParallelism()); i++) {
      const worker = new Worker(new URL(import.meta.url), { workerData: { nodes, events } });
      const next = () => {
        if (asked < seeds) worker.postMessage(first + asked++);
        else worker.terminate();
      };
      worker.on('error', (error) => {
        throw error;
      });
      worker.on('message', (report) => {
        if (report.violations.length > 0) broken(report);
        for (const [name, count] of Object.entries({ events: report.events, ...report.counters }))
          totals[name] = (totals[name] ?? 0) + count;
        virtualSeconds += report.virtualSeconds;
        if (++done % 20 === 0) console.error(`${done} of ${seeds} seeds`);
        if (done === seeds) resolve();
        else next();
      });
      next();
    }
  });
  for (const name of Object.keys(totals).sort()) console.log(`${name.padEnd(22)} ${totals[name]}`);
  const seconds = ((Date.now() - startedAt) / 1000).toFixed(0);
  console.log(
    `${seeds} seeds from ${first}, ${nodes} nodes, ${virtualSeconds.toFixed(0)} virtual seconds: no violation (${seconds} s)`,
  );
  process.exit(0);
}

function broken({ seed, nodes, violations }) {
  for (const violation of violations) console.log(violation);
  console.log(`a promise is broken; again: npm run sim -- --seeds 1 --seed ${seed} --nodes ${nodes}`);
  process.exit(1);
}

function wholeNumber(name, text) {
  const value = Number(text);
  if (/^\d{1,15}$/.test(text) && (value > 0 || name === 'seed')) return value;
  console.error(`error: --${name} is a whole number above 0, not ${text}`);
  process.exit(2);
}
