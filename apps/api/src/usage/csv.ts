import type { UsageRow, UsageView } from '@drvs/contracts';

const COLUMNS: readonly (keyof UsageRow)[] = [
  'tenant',
  'drvm',
  'day',
  'coreHours',
  'memoryGiBHours',
  'diskGiBHours',
  'networkMbpsHours',
  'usedCoreHours',
  'usedMemoryGiBHours',
  'readBytes',
  'writtenBytes',
  'ioOperations',
  'receivedBytes',
  'sentBytes',
  'energyKWh',
];

/** RFC 4180. A cell that a spreadsheet would take for a formula is made text. */
export function usageCsv({ items }: UsageView): string {
  const lines = items.map((row) => COLUMNS.map((column) => cell(row[column])).join(','));
  return `${[COLUMNS.join(','), ...lines].join('\r\n')}\r\n`;
}

function cell(value: string | number | null): string {
  if (value === null) return '';
  if (typeof value === 'number') return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
