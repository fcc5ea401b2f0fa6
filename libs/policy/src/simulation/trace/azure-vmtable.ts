import { isNumber, type TraceFormat, type TraceJob } from './trace-format.js';
import type { TraceRow } from './trace-row.js';

const VM = 0;
const CREATED = 3;
const DELETED = 4;
const AVERAGE = 6;
const CORES = 9;
const MEMORY = 10;

/** Buckets of the second edition that have no upper end are written `>24`. */
function amount(row: TraceRow, index: number, name: string): number {
  const field = row.text(index, name);
  if (!field.startsWith('>')) return row.number(index, name);
  if (!isNumber(field.slice(1))) throw row.fault(name, `is ${field.slice(0, 40)}, not a number`);
  return Number(field.slice(1));
}

/**
 * `vmtable.csv` of the Azure Public Dataset (2017 and 2019): vm id, subscription, deployment, created and deleted in
 * seconds, CPU in percent (max, average, 95th of max), category, cores, memory in GiB.
 */
export const azureVmTable: TraceFormat = {
  name: 'azure-vmtable',
  about: 'vmtable.csv of the Azure Public Dataset',
  matches: (fields) => fields.length === 11,
  parser: () => ({
    open: 0,
    row(row): TraceJob | null {
      const fromMs = row.number(CREATED, 'vmcreated') * 1000;
      const untilMs = row.number(DELETED, 'vmdeleted') * 1000;
      if (untilMs < fromMs) throw row.fault('vmdeleted', 'is before vmcreated');
      if (untilMs === fromMs) return null;
      const percent = row.number(AVERAGE, 'avgcpu');
      if (percent > 100) throw row.fault('avgcpu', `is ${percent} %`);
      return {
        name: row.text(VM, 'vmid'),
        fromMs,
        untilMs,
        cpuMilli: amount(row, CORES, 'vmcorecount') * 1000,
        memoryMiB: amount(row, MEMORY, 'vmmemory') * 1024,
        level: percent / 100,
      };
    },
    end: () => [],
  }),
};
