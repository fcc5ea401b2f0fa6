'use client';
import { Button, Group, SegmentedControl, Skeleton, Stack, Table, Text, Title } from '@mantine/core';
import { IconDownload } from '@tabler/icons-react';
import { usePathname, useRouter, useSearchParams } from 'next/navigation';
import { useFormatter, useTranslations } from 'next-intl';
import { useQuery } from 'urql';
import type { UsageOfQuery } from '@/gen/graphql';
import { UsageQuery } from '@/graphql/usage';
import { share } from '@/parts/amounts';
import { Empty } from '@/parts/empty';
import { ScrollBox } from '@/parts/scroll-box';
import { Trouble } from '@/parts/trouble';
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
  const viewer = useViewer();
  const router = useRouter();
  const path = usePathname();
  const search = useSearchParams();
  const by = BY.find((each) => each === search.get('by')) ?? 'tenant';
  const span = SPANS.find((each) => each === search.get('span')) ?? 'month';
  const { from, to } = rangeOf(span);
  const maySee = seesUsage(viewer.role);
  const [{ data, error }, ask] = useQuery({ query: UsageQuery, variables: { by, from, to }, pause: !maySee });
  const choose = (name: string, value: string) => {
    const next = new URLSearchParams(search);
    next.set(name, value);
    router.replace(`${path}?${next}`);
  };
  const number = (value: number) => format.number(value, { maximumFractionDigits: value < 1 ? 4 : 2 });
  const usage = data?.usage;
  const link = new URLSearchParams({ by, format: 'csv', ...(from && { from }), ...(to && { to }) });

  const cells = (sums: Sums) => (
    <>
      <Table.Td className="numeric">{number(sums.coreHours)}</Table.Td>
      <Table.Td className="numeric">
        {number(sums.usedCoreHours)}
        <Text span size="xs" c="dimmed" ml={6}>
          {format.number(share(sums.usedCoreHours, sums.coreHours), { style: 'percent' })}
        </Text>
      </Table.Td>
      <Table.Td className="numeric">{number(sums.memoryGiBHours)}</Table.Td>
      <Table.Td className="numeric">
        {number(sums.usedMemoryGiBHours)}
        <Text span size="xs" c="dimmed" ml={6}>
          {format.number(share(sums.usedMemoryGiBHours, sums.memoryGiBHours), { style: 'percent' })}
        </Text>
      </Table.Td>
      <Table.Td className="numeric">{number(sums.diskGiBHours)}</Table.Td>
      <Table.Td className="numeric">
        {sums.energyKWh === null || sums.energyKWh === undefined ? '–' : kWh(sums.energyKWh)}
      </Table.Td>
    </>
  );
  return (
    <Stack gap="lg">
      <Group justify="space-between" align="flex-start">
        <div>
          <Title order={1} fz={26}>
            {t('title')}
          </Title>
          <Text c="dimmed" maw={720}>
            {t('what')}
          </Text>
        </div>
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
      </Group>
      {!maySee ? (
        <Empty title={t('notYours')} hint={t('notYoursHint')} />
      ) : (
        <>
          <Group>
            <SegmentedControl
              aria-label={t('by')}
              data={BY.map((value) => ({ value, label: t(`bys.${value}`) }))}
              value={by}
              onChange={(value) => choose('by', value)}
            />
            <SegmentedControl
              aria-label={t('span')}
              data={SPANS.map((value) => ({ value, label: t(`spans.${value}`) }))}
              value={span}
              onChange={(value) => choose('span', value)}
            />
          </Group>
          {error && <Trouble error={error} onRetry={() => ask({ requestPolicy: 'network-only' })} />}
          {!usage ? (
            !error && <Skeleton h={200} />
          ) : usage.items.length === 0 ? (
            <Empty title={t('none')} hint={t('noneHint')} />
          ) : (
            <ScrollBox label={t('title')} isCard>
              <Table verticalSpacing="xs" horizontalSpacing="md" miw={760}>
                <Table.Caption style={{ captionSide: 'bottom', textAlign: 'left', padding: '8px 16px' }}>
                  {t('range', {
                    from: format.dateTime(new Date(usage.from), { dateStyle: 'medium', timeStyle: 'short' }),
                    to: format.dateTime(new Date(usage.to), { dateStyle: 'medium', timeStyle: 'short' }),
                  })}
                </Table.Caption>
                <Table.Thead>
                  <Table.Tr>
                    {by === 'day' && <Table.Th>{t('day')}</Table.Th>}
                    <Table.Th>{t('department')}</Table.Th>
                    {by === 'drvm' && <Table.Th>DRVM</Table.Th>}
                    <Table.Th>{t('coreHours')}</Table.Th>
                    <Table.Th>{t('used')}</Table.Th>
                    <Table.Th>{t('memory')}</Table.Th>
                    <Table.Th>{t('used')}</Table.Th>
                    <Table.Th>{t('disk')}</Table.Th>
                    <Table.Th>{t('energy')}</Table.Th>
                  </Table.Tr>
                </Table.Thead>
                <Table.Tbody>
                  {usage.items.map((item) => (
                    <Table.Tr key={`${item.tenant}/${item.drvm ?? ''}/${item.day ?? ''}`}>
                      {by === 'day' && <Table.Td className="numeric">{item.day}</Table.Td>}
                      <Table.Th scope="row">{item.tenant}</Table.Th>
                      {by === 'drvm' && <Table.Td>{item.drvm}</Table.Td>}
                      {cells(item)}
                    </Table.Tr>
                  ))}
                </Table.Tbody>
                <Table.Tfoot>
                  <Table.Tr fw={600}>
                    <Table.Th scope="row" colSpan={by === 'tenant' ? 1 : 2}>
                      {t('total')}
                    </Table.Th>
                    {cells(usage.total)}
                  </Table.Tr>
                </Table.Tfoot>
              </Table>
            </ScrollBox>
          )}
        </>
      )}
    </Stack>
  );
}
