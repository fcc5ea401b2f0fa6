/**
 * Amounts as people write them: `--cpu 0.5` or `500m`, `--memory 512Mi`, `--disk 4Gi`, `--expires 30d`; and back.
 * Units are those of Kubernetes: Ki, Mi, Gi, Ti are powers of 1024; k, M, G, T powers of 1000.
 */
import { usage } from './failure.js';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const UNITS: Readonly<Record<string, number>> = {
  B: 1,
  k: 1e3,
  K: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: MIB,
  Gi: GIB,
  Ti: 2 ** 40,
};

/** vCPUs, in thousandths: `2`, `0.5`, `500m`. */
export function parseCpu(text: string): number {
  const match = /^(?:(\d+)m|(\d+(?:\.\d+)?|\.\d+))$/.exec(text.trim());
  const milli = match ? (match[1] !== undefined ? Number(match[1]) : Math.round(Number(match[2]) * 1000)) : 0;
  if (milli >= 1 && match?.[2] !== undefined && Math.abs(Number(match[2]) * 1000 - milli) > 1e-6 * milli)
    throw usage(`"${text}" is not counted in thousandths of a vCPU`, `${milli}m is the nearest that is.`);
  if (milli < 1) {
    throw usage(`"${text}" is not an amount of CPU`, 'Write vCPUs such as 2, 0.5 or 500m (thousandths).');
  }
  return milli / 1000;
}

function parseBytes(text: string, example: string): number {
  const match = /^(\d+(?:\.\d+)?|\.\d+)\s*([A-Za-z]*)$/.exec(text.trim());
  const unit = match?.[2]?.replace(/(?<=.)B$/, '') ?? '';
  const factor = UNITS[unit];
  if (!match || (unit !== '' && factor === undefined)) {
    throw usage(`"${text}" is not a size`, `Write a number with a unit, such as ${example}.`);
  }
  if (factor === undefined) {
    throw usage(
      `"${text}" has no unit`,
      `Write a number with a unit, such as ${example} (Ki, Mi, Gi, Ti or k, M, G, T).`,
    );
  }
  return Number(match[1]) * factor;
}

/** Whole MiB: `512Mi`, `4Gi`, `1.5Gi`; rounded up. */
export function parseMemoryMiB(text: string): number {
  const mib = Math.ceil(parseBytes(text, '512Mi or 4Gi') / MIB - 1e-9);
  if (mib < 1) throw usage(`"${text}" is not an amount of memory`, 'Write a size such as 512Mi or 4Gi.');
  return mib;
}

/** Whole GiB: `4Gi`; rounded up, since disk is given in whole GiB. */
export function parseDiskGiB(text: string): number {
  const gib = Math.ceil(parseBytes(text, '4Gi') / GIB - 1e-9);
  if (gib < 1) throw usage(`"${text}" is not an amount of disk`, 'Write a size such as 4Gi.');
  return gib;
}

/** Mbit/s: `100`, `100M`, `1G`. */
export function parseNetworkMbps(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(M|G)?$/.exec(text.trim());
  const mbps = match ? Math.round(Number(match[1]) * (match[2] === 'G' ? 1000 : 1)) : 0;
  if (mbps < 1) {
    throw usage(`"${text}" is not a bandwidth`, 'Write Mbit/s, such as 100, 100M or 1G.');
  }
  return mbps;
}

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/** Seconds: `90s`, `15m`, `12h`, `30d`, `2w`. */
export function parseDurationSeconds(text: string): number {
  const match = /^(\d+)([smhdw])$/.exec(text.trim());
  const seconds = match ? Number(match[1]) * (SECONDS[match[2]!] ?? 0) : 0;
  if (seconds < 1)
    throw usage(`"${text}" is not a duration`, 'Write a number and s, m, h, d or w, such as 30d.');
  return seconds;
}

/** `cpu=4 memory=4Gi disk=20Gi network=1G`, each at most once; `none` takes a limit away (null). */
export function parseAmounts(words: readonly string[]): Record<string, number | null> {
  const amounts: Record<string, number | null> = {};
  for (const word of words) {
    const at = word.indexOf('=');
    const name = word.slice(0, Math.max(at, 0));
    const value = word.slice(at + 1);
    const parser = {
      cpu: { field: 'cpu', parse: parseCpu },
      memory: { field: 'memoryMiB', parse: parseMemoryMiB },
      disk: { field: 'diskGiB', parse: parseDiskGiB },
      network: { field: 'networkMbps', parse: parseNetworkMbps },
    }[name];
    if (at < 1 || !parser) {
      throw usage(`"${word}" is not an amount`, 'Write cpu=4, memory=4Gi, disk=20Gi or network=1G.');
    }
    if (parser.field in amounts) throw usage(`${name} is given twice`);
    amounts[parser.field] = value === 'none' ? null : parser.parse(value);
  }
  return amounts;
}

export function formatBytes(bytes: number): string {
  let value = bytes;
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (Math.abs(value) < 1024 || unit === 'GiB') {
      return `${unit === 'B' || value >= 100 ? Math.round(value) : trim(value.toFixed(1))} ${unit}`;
    }
    value /= 1024;
  }
  return `${value} GiB`;
}

const trim = (text: string): string => text.replace(/\.0+$/, '');

export const formatMiB = (mib: number): string => formatBytes(mib * MIB);
export const formatCpu = (cpu: number): string => String(Math.round(cpu * 1000) / 1000);

/** `950ms`, `3.2s`, `4m12s`, `3h05m`, `2d04h`. */
export function formatMs(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)}ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${trim(seconds.toFixed(1))}s`;
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0');
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${two(seconds % 60)}s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h${two((seconds % 3600) / 60)}m`;
  return `${Math.floor(seconds / 86_400)}d${two((seconds % 86_400) / 3600)}h`;
}

/** How long ago an ISO time was, for tables. */
export function formatAgo(at: string | null, now: number): string {
  if (at === null) return 'never';
  return `${formatMs(Math.max(0, Math.floor((now - Date.parse(at)) / 1000) * 1000)).replace('0ms', '0s')} ago`;
}
