import { text } from 'node:stream/consumers';
import { TELEMETRY_METRICS, type TelemetryView } from '@drvs/contracts';
import { type Command, Option } from 'commander';
import type { ApiClient, Query } from '../api/client.js';
import { renderTable } from '../output/table.js';
import { parseDurationSeconds } from '../quantities.js';
import type { Shell } from '../shell.js';

export function registerTelemetry(program: Command, shell: Shell): void {
  program
    .command('telemetry')
    .description('what was measured over time, of nodes or of a DRVM on its nodes')
    .option('--node <node>', 'one node only')
    .option('--drvm <drvm>', 'a DRVM, on each of its nodes')
    .addOption(
      new Option('--metric <metrics>', `with commas between them: ${TELEMETRY_METRICS.join(', ')}`).default(
        'cpu',
      ),
    )
    .option('--last <duration>', 'how far back, such as 6h', parseDurationSeconds)
    .option('--from <time>', 'since when')
    .option('--to <time>', 'until when')
    .option('--step <duration>', 'time between two points', parseDurationSeconds)
    .action(async ({ last, from, ...query }: { last?: number; from?: string; step?: number } & Query) => {
      const since =
        from ?? (last === undefined ? undefined : new Date(Date.now() - last * 1_000).toISOString());
      const client = await shell.client();
      const view = await client.get<TelemetryView>('/telemetry', { query: { ...query, from: since } });
      shell.answer(view, render);
    });
}

/** A line for each point in time, a column for each series. */
function render({ series }: TelemetryView): string {
  const times = [...new Set(series.flatMap(({ points }) => points.map(({ at }) => at)))].sort();
  const values = series.map(({ points }) => new Map(points.map((point) => [point.at, point])));
  const names = series.map(({ node, drvm, metric }) => `${drvm === null ? '' : `${drvm}@`}${node} ${metric}`);
  return renderTable(
    ['AT', ...names],
    times.map((at) => [
      at,
      ...values.map((points) => {
        const point = points.get(at);
        return point ? `${point.mean.toFixed(2)} (max ${point.max.toFixed(2)})` : '-';
      }),
    ]),
  );
}

/** An answer that is not JSON. */
export async function readText(client: ApiClient, path: string, query: Query): Promise<string> {
  return text((await client.open('GET', path, { query })).body);
}
