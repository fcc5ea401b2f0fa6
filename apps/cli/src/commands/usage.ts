import type { UsageView } from '@drvs/contracts';
import { type Command, Option } from 'commander';
import { renderTable } from '../output/table.js';
import type { Shell } from '../shell.js';
import { readText } from './telemetry.js';

export function registerUsage(program: Command, shell: Shell): void {
  program
    .command('usage')
    .description('what departments or DRVMs held and used, since the first of this month')
    .option('--tenant <tenant>', 'one department only')
    .option('--from <time>', 'since when, such as 2026-11-01')
    .option('--to <time>', 'until when, which is not part of it')
    .addOption(
      new Option('--by <what>', 'one row for each').choices(['tenant', 'drvm', 'day']).default('tenant'),
    )
    .option('--csv', 'as comma-separated values')
    .action(async (options: { tenant?: string; from?: string; to?: string; by: string; csv?: boolean }) => {
      const { csv, ...query } = options;
      const client = await shell.client();
      if (csv) {
        shell.out(await readText(client, '/usage', { ...query, format: 'csv' }));
        return;
      }
      shell.answer(await client.get<UsageView>('/usage', { query }), render);
    });
}

const two = (value: number): string => value.toFixed(2);
const gib = (bytes: number): string => (bytes / 2 ** 30).toFixed(2);

function render({ items, total, by }: UsageView): string {
  const rows = [
    ...items.map((item) => ({ ...item, name: by === 'drvm' ? `${item.tenant}/${item.drvm}` : item.tenant })),
    { ...total, name: 'total', day: null },
  ];
  return renderTable(
    [
      'WHO',
      'DAY',
      'CORE-H',
      'USED',
      'MEM GiB-H',
      'USED',
      'DISK GiB-H',
      'READ GiB',
      'WRITTEN GiB',
      'DISK OPS',
      'RECEIVED GiB',
      'SENT GiB',
      'kWh',
    ],
    rows.map((row) => [
      row.name,
      row.day ?? '-',
      two(row.coreHours),
      two(row.usedCoreHours),
      two(row.memoryGiBHours),
      two(row.usedMemoryGiBHours),
      two(row.diskGiBHours),
      gib(row.readBytes),
      gib(row.writtenBytes),
      String(row.ioOperations),
      gib(row.receivedBytes),
      gib(row.sentBytes),
      row.energyKWh === null ? '-' : row.energyKWh.toFixed(3),
    ]),
  );
}
