import { useFormatter } from 'next-intl';

export type Metric = 'cpu' | 'memoryMiB' | 'diskGiB';

export const METRICS = ['cpu', 'memoryMiB', 'diskGiB'] as const satisfies readonly Metric[];

/** Memory from here on is told in GiB. */
const GIB_FROM_MIB = 10_240;

/** The part of `whole`, 0..1; a whole of nothing has no parts. */
export const share = (part: number, whole: number): number =>
  whole > 0 ? Math.min(1, Math.max(0, part / whole)) : 0;

/** Amounts as a person reads them: `1.5 vCPU`, `768 MiB`, `2 GiB`. */
export function useAmounts() {
  const format = useFormatter();
  const number = (value: number, digits: number) => format.number(value, { maximumFractionDigits: digits });
  const memory = (mib: number) =>
    mib >= GIB_FROM_MIB ? `${number(mib / 1024, 1)} GiB` : `${number(mib, 0)} MiB`;
  const amount = (metric: Metric, value: number): string => {
    if (metric === 'cpu') return `${number(value, 2)} vCPU`;
    return metric === 'memoryMiB' ? memory(value) : `${number(value, 0)} GiB`;
  };
  /** Several amounts of one class under one unit, that of the last: `0.36 / 1 / 2 vCPU`. */
  const amounts = (metric: Metric, values: readonly number[]): string => {
    const isGiB = metric === 'memoryMiB' && (values.at(-1) ?? 0) >= GIB_FROM_MIB;
    const unit = metric === 'cpu' ? 'vCPU' : metric === 'memoryMiB' && !isGiB ? 'MiB' : 'GiB';
    const digits = metric === 'cpu' ? 2 : isGiB ? 1 : 0;
    return `${values.map((value) => number(isGiB ? value / 1024 : value, digits)).join(' / ')} ${unit}`;
  };
  const bytes = (value: number): string => {
    if (value < 1024) return `${number(value, 0)} B`;
    if (value < 1024 ** 2) return `${number(value / 1024, 0)} KiB`;
    return value < 10 * 1024 ** 3
      ? `${number(value / 1024 ** 2, 1)} MiB`
      : `${number(value / 1024 ** 3, 0)} GiB`;
  };
  const duration = (ms: number): string => {
    if (ms < 1_000) return `${number(ms, 0)} ms`;
    if (ms < 60_000) return `${number(ms / 1_000, 1)} s`;
    const minutes = Math.floor(ms / 60_000);
    return minutes < 60
      ? `${minutes} min ${Math.floor((ms % 60_000) / 1_000)} s`
      : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  };
  return { amount, amounts, bytes, duration };
}
