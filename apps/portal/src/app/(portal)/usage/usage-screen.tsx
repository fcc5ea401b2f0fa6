'use client';
import { Button, Group, SegmentedControl, Stack, Text } from '@mantine/core';
import { IconDownload } from '@tabler/icons-react';
import { useFormatter, useTranslations } from 'next-intl';
import type { UsageOfQuery } from '@/gen/graphql';
import { UsageQuery } from '@/graphql/usage';
import { share, useAmounts } from '@/parts/amounts';
import { Awaited } from '@/parts/awaited';
import { Empty } from '@/parts/empty';
import { ListTable } from '@/parts/list-table';
import { ScreenHead } from '@/parts/screen-head';
import { Trouble } from '@/parts/trouble';
import { useAddress } from '@/parts/use-address';
import { useAsked } from '@/parts/use-asked';
import { useEnergyWords } from '@/parts/use-energy-words';
import { seesUsage, useViewer } from '@/session/session';

const BY = ['tenant', 'drvm', 'day'] as const;
const SPANS = ['month', 'lastMonth', 'week'] as const;
type Span = (typeof SPANS)[number];
type Sums = UsageOfQuery['usage']['total'];
const DAY_MS = 86_400_000;

/** Of whole days of UTC, as the API counts them. */
function rangeOf(span: Span): { from: string | null; to: string | null } {
  const now = new Date();
  const month = (ago: number) => new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - ago));
  if (span === 'month') return { from: null, to: null };
  if (span === 'lastMonth') return { from: month(1).toISOString(), to: month(0).toISOString() };
  const today = Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate());
  return { from: new Date(today - 6 * DAY_MS).toISOString(), to: null };
}

/** What departments and DRVMs held, what they used of it, and the energy for it. The choice stands in the address. */
export function UsageScreen() {
  const t = useTranslations('usage');
  const format = useFormatter();
  const { kWh } = useEnergyWords();
  const { bytes } = useAmounts();
  const viewer = useViewer();
  const { chosen, choose } = useAddress();
  const by = chosen('by', BY);
  const span = chosen('span', SPANS);
  const { from, to } = rangeOf(span);
  const maySee = seesUsage(viewer.role);
  const { data, error, refresh } = useAsked({
    query: UsageQuery,
    variables: { by, from, to },
    pause: !maySee,
  });
  const number = (value: number) => format.number(value, { maximumFractionDigits: value < 1 ? 4 : 2 });
  const minute = (at: string) => format.dateTime(new Date(at), { dateStyle: 'medium', timeStyle: 'short' });
  const usage = data?.usage;
  const link = new URLSearchParams({ by, format: 'csv', ...(from && { from }), ...(to && { to }) });

  const cells = (sums: Sums) => (
    <>
      <td className="numeric">{number(sums.coreHours)}</td>
      <td className="numeric">
        {number(sums.usedCoreHours)}
        <Text span size="xs" c="dimmed" ml={6}>
          {format.number(share(sums.usedCoreHours, sums.coreHours), { style: 'percent' })}
        </Text>
      </td>
      <td className="numeric">{number(sums.memoryGiBHours)}</td>
      <td className="numeric">
        {number(sums.usedMemoryGiBHours)}
        <Text span size="xs" c="dimmed" ml={6}>
          {format.number(share(sums.usedMemoryGiBHours, sums.memoryGiBHours), { style: 'percent' })}
        </Text>
      </td>
      <td className="numeric">{number(sums.diskGiBHours)}</td>
      <td className="numeric">
        {bytes(sums.readBytes)} / {bytes(sums.writtenBytes)}
        <Text size="xs" c="dimmed">
          {t('operations', { count: sums.ioOperations })}
        </Text>
      </td>
      <td className="numeric">
        {bytes(sums.receivedBytes)} / {bytes(sums.sentBytes)}
      </td>
      <td className="numeric">
        {sums.energyKWh === null || sums.energyKWh === undefined ? '–' : kWh(sums.energyKWh)}
      </td>
    </>
  );
  return (
    <Stack gap="lg">
      <ScreenHead title={t('title')} what={t('what')}>
        {maySee && (
          <Button
            component="a"
            href={`/api/v1/usage?${link}`}
            download={`usage-${by}-${span}.csv`}
            variant="default"
            leftSection={<IconDownload size={18} aria-hidden />}
          >
            {t('export')}
          </Button>
        )}
      </ScreenHead>
      {!maySee ? (
        <Empty title={t('notYours')} hint={t('notYoursHint')} />
      ) : (
        <>
          <Group>
            <SegmentedControl
              aria-label={t('by')}
              data={BY.map((value) => ({ value, label: t(`bys.${value}`) }))}
              value={by}
              onChange={(value) => choose({ by: value })}
            />
            <SegmentedControl
              aria-label={t('span')}
              data={SPANS.map((value) => ({ value, label: t(`spans.${value}`) }))}
              value={span}
              onChange={(value) => choose({ span: value })}
            />
          </Group>
          {error && usage && <Trouble error={error} onRetry={refresh} />}
          {!usage ? (
            <Awaited error={error} onRetry={refresh} height={200} />
          ) : usage.items.length === 0 ? (
            <Empty title={t('none')} hint={t('noneHint')} />
          ) : (
            <ListTable
              label={t('title')}
              minWidth={960}
              caption={t('range', { from: minute(usage.from), to: minute(usage.to) })}
              heads={[
                by === 'day' ? t('day') : null,
                t('department'),
                by === 'drvm' ? 'DRVM' : null,
                t('coreHours'),
                t('used'),
                t('memory'),
                t('used'),
                t('disk'),
                t('diskTraffic'),
                t('network'),
                t('energy'),
              ]}
              foot={
                <tr style={{ fontWeight: 600 }}>
                  <th scope="row" colSpan={by === 'tenant' ? 1 : 2}>
                    {t('total')}
                  </th>
                  {cells(usage.total)}
                </tr>
              }
            >
              {usage.items.map((item) => (
                <tr key={`${item.tenant}/${item.drvm ?? ''}/${item.day ?? ''}`}>
                  {by === 'day' && <td className="numeric">{item.day}</td>}
                  <th scope="row">{item.tenant}</th>
                  {by === 'drvm' && <td>{item.drvm}</td>}
                  {cells(item)}
                </tr>
              ))}
            </ListTable>
          )}
        </>
      )}
    </Stack>
  );
}
