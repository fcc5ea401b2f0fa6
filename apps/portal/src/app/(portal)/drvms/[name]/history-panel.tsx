'use client';
import { Alert, Group, SimpleGrid, Stack, Text } from '@mantine/core';
import { useFormatter, useTranslations } from 'next-intl';
import { useMemo } from 'react';
import type { DrvmDetailQuery, HistoryQuery as History } from '@/gen/graphql';
import { HistoryQuery } from '@/graphql/resize';
import { useAmounts } from '@/parts/amounts';
import { Awaited } from '@/parts/awaited';
import { errorCode } from '@/parts/errors';
import { Heads } from '@/parts/list-table';
import { Section } from '@/parts/section';
import { Table } from '@/parts/table';
import { useAsked } from '@/parts/use-asked';
import { HistoryChart, lineOf, type Mark } from './history-chart';

type Operations = NonNullable<DrvmDetailQuery['drvm']>['operations'];
type Series = History['telemetryHistory']['series'];
const METRICS = ['cpu', 'memoryMiB'] as const;
/** What little is used does not fill the chart. */
const SCALE_LEAST = { cpu: 0.1, memoryMiB: 64 };
const STEP_SECONDS = 30;
const REFRESH_MS = 15_000;
/** The table for who cannot see the chart has a row of every so many steps. */
const ROW_STEPS = 10;
/** What changes how a DRVM runs, and so how its curves go. */
const MARKED = /^(process\.migrate|drvm\.|plan\.apply|node\.)/;

/** CPU and memory of a DRVM on each of its nodes over the last hour, with marks for what was done to it meanwhile. */
export function HistoryPanel({ drvm, operations }: { drvm: string; operations: Operations }) {
  const t = useTranslations('history');
  const tOperation = useTranslations('operation');
  const format = useFormatter();
  const { data, error, refresh } = useAsked(
    { query: HistoryQuery, variables: { drvm, metric: METRICS.join(','), step: STEP_SECONDS } },
    REFRESH_MS,
  );
  const history = data?.telemetryHistory;
  // A value of its own, so that the chart is drawn anew only for another mark.
  const marked = JSON.stringify(
    operations
      .filter(({ kind }) => MARKED.test(kind))
      .map(({ kind, createdAt }) => ({
        at: new Date(createdAt).getTime() / 1_000,
        label: tOperation.has(`kinds.${kind}`) ? tOperation(`kinds.${kind}`) : kind,
      })),
  );
  const from = history ? new Date(history.from).getTime() / 1_000 : 0;
  const marks = useMemo(
    () => (JSON.parse(marked) as Mark[]).filter(({ at }) => at >= from).reverse(),
    [marked, from],
  );
  const time = (seconds: number) => format.dateTime(new Date(seconds * 1_000), { timeStyle: 'medium' });

  return (
    <Section title={t('title')}>
      {!history ? (
        error && errorCode(error) === 'NotFound' ? (
          <Alert color="gray">{t('none')}</Alert>
        ) : (
          <Awaited error={error} onRetry={refresh} height={240} />
        )
      ) : (
        <Stack gap="sm">
          <SimpleGrid cols={{ base: 1, md: 2 }}>
            {METRICS.map((metric) => (
              <OneMetric
                key={metric}
                metric={metric}
                series={history.series.filter((each) => each.metric === metric)}
                marks={marks}
                span={[from, new Date(history.to).getTime() / 1_000]}
              />
            ))}
          </SimpleGrid>
          {marks.length > 0 && (
            <Text size="xs" c="dimmed">
              {t('marks')} {marks.map(({ at, label }) => `${time(at)} ${label}`).join(' · ')}
            </Text>
          )}
        </Stack>
      )}
    </Section>
  );
}

function OneMetric({
  metric,
  series,
  marks,
  span,
}: {
  metric: (typeof METRICS)[number];
  series: Series;
  marks: Mark[];
  span: readonly [number, number];
}) {
  const t = useTranslations('history');
  const format = useFormatter();
  const { amount } = useAmounts();
  const { times, rows } = useMemo(() => aligned(series), [series]);
  const last = (points: Series[number]['points']) => points.at(-1)?.mean ?? 0;
  const words = series.map(({ node, points }) => `${node}: ${amount(metric, last(points))}`).join(', ');
  const inTable = times.map((_, position) => position).filter((position) => position % ROW_STEPS === 0);
  return (
    <div>
      <Text fw={600} size="sm">
        {t(`metrics.${metric}`)}
      </Text>
      <Group gap="md" mb={4}>
        {series.map(({ node, points }, position) => (
          <Group key={node} gap={6} wrap="nowrap">
            <svg width="22" height="8" aria-hidden="true">
              <line x1="0" y1="4" x2="22" y2="4" strokeWidth="2.5" {...lineOf(position)} />
            </svg>
            <Text size="xs" className="numeric">
              {node} {amount(metric, last(points))}
            </Text>
          </Group>
        ))}
      </Group>
      <HistoryChart
        label={t('chart', { metric: t(`metrics.${metric}`), words })}
        times={times}
        rows={rows}
        marks={marks}
        span={span}
        least={SCALE_LEAST[metric]}
        words={(value) => format.number(value, { maximumFractionDigits: 2 })}
        time={(seconds) => format.dateTime(new Date(seconds * 1_000), { timeStyle: 'short' })}
      />
      <details>
        <summary>
          <Text span size="xs">
            {t('table')}
          </Text>
        </summary>
        <Table>
          <Heads of={[t('at'), ...series.map(({ node }) => node)]} />
          <tbody>
            {inTable.map((position) => (
              <tr key={times[position]}>
                <th scope="row" className="numeric">
                  {format.dateTime(new Date((times[position] ?? 0) * 1_000), { timeStyle: 'short' })}
                </th>
                {series.map(({ node }, column) => {
                  const value = rows[column]?.[position];
                  return (
                    <td key={node} className="numeric">
                      {typeof value === 'number' ? amount(metric, value) : '–'}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </Table>
      </details>
    </div>
  );
}

/** All series on the times of all of them; null where one has nothing. */
function aligned(series: Series): { times: number[]; rows: (number | null)[][] } {
  const seconds = (at: string) => new Date(at).getTime() / 1_000;
  const times = [...new Set(series.flatMap(({ points }) => points.map(({ at }) => seconds(at))))].sort(
    (a, b) => a - b,
  );
  const rows = series.map(({ points }) => {
    const known = new Map(points.map(({ at, mean }) => [seconds(at), mean]));
    return times.map((time) => known.get(time) ?? null);
  });
  return { times, rows };
}
