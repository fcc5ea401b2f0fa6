import { randomFrom } from '../plan/seed.js';
import type { TraceFormatName } from '../simulation/trace/trace-format.js';

const HOURS = 12;

/** Lines as those of a public trace, made up by chance: the same for the same seed. */
export function sampleTrace(format: TraceFormatName, seed: number, count = 60): string[] {
  const random = randomFrom(seed);
  const whole = (from: number, to: number): number => from + Math.floor(random() * (to - from + 1));
  const jobs = Array.from({ length: count }, (_, n) => {
    const from = whole(1, HOURS * 3000);
    return { n, from, until: from + whole(300, 4 * 3600), cpu: whole(1, 8), share: whole(5, 90) };
  });
  switch (format) {
    case 'azure-vmtable':
      return jobs.map(({ n, from, until, cpu, share }) =>
        [`vm${n}+/=`, 's', 'd', from, until, 99, share, 95, 'Unknown', cpu, cpu * 2].join(','),
      );
    case 'google-task-events':
      return jobs
        .flatMap(({ n, from, until, cpu }) =>
          [
            [from, 0],
            [from + 1, 1],
            [until, 4],
          ].map(([at, event]) => ({
            at,
            line: [at * 1e6, '', 1000 + n, 0, 5, event, 'u', 1, 9, cpu / 64, cpu / 64, 0.0001, 0].join(','),
          })),
        )
        .sort((a, b) => a.at - b.at)
        .map(({ line }) => line);
    case 'alibaba-batch-instance':
      return jobs.map(({ n, from, until, cpu, share }) =>
        [
          `i_${n}`,
          't_1',
          `j_${n}`,
          1,
          'Terminated',
          from,
          until,
          'm_1',
          1,
          1,
          (cpu * share) / 100,
          cpu,
          0.1,
          0.5,
        ].join(','),
      );
    case 'alibaba-batch-task':
      return jobs.map(({ n, from, until, cpu }) =>
        [`t_${n}`, cpu, `j_${n}`, 1, 'Terminated', from, until, 100, 0.3].join(','),
      );
    case 'alibaba-machine-usage':
      return Array.from({ length: 12 * HOURS }, (_, slot) => slot).flatMap((slot) =>
        Array.from({ length: 12 }, (_, m) =>
          [`m_${m}`, slot * 300, whole(0, 60), whole(20, 90), '', '', 1.5, 2.5, 3].join(','),
        ),
      );
  }
}
