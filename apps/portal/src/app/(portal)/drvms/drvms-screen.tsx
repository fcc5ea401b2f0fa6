'use client';
import { Button, Stack, Text } from '@mantine/core';
import { IconPlus } from '@tabler/icons-react';
import Link from 'next/link';
import { useTranslations } from 'next-intl';
import { DrvmsQuery } from '@/graphql/drvm';
import { type Metric, useAmounts } from '@/parts/amounts';
import { Awaited } from '@/parts/awaited';
import { byName } from '@/parts/by-name';
import { Empty } from '@/parts/empty';
import { DrvmLink } from '@/parts/links';
import { ListTable } from '@/parts/list-table';
import { ScreenHead } from '@/parts/screen-head';
import { StateBadge } from '@/parts/state-badge';
import { Trouble } from '@/parts/trouble';
import { useAsked } from '@/parts/use-asked';
import { mayManageDrvms, useViewer } from '@/session/session';

const REFRESH_MS = 3_000;

export function DrvmsScreen() {
  const t = useTranslations('drvms');
  const { amount } = useAmounts();
  const viewer = useViewer();
  const { data, error, refresh } = useAsked({ query: DrvmsQuery }, REFRESH_MS);

  if (!data) return <Awaited error={error} onRetry={refresh} height={240} />;
  const drvms = [...data.drvms.nodes].sort((a, b) => byName(a.name, b.name));
  const pair = (metric: Metric, used: number, of: number) =>
    `${amount(metric, used)} / ${amount(metric, of)}`;
  const mayCreate = mayManageDrvms(viewer.role);
  return (
    <Stack gap="lg">
      <ScreenHead title={t('title')}>
        {mayCreate && (
          <Button component={Link} href="/drvms/new" leftSection={<IconPlus size={18} aria-hidden />}>
            {t('create')}
          </Button>
        )}
      </ScreenHead>
      {error && <Trouble error={error} />}
      {drvms.length === 0 ? (
        <Empty
          title={t('none')}
          hint={mayCreate ? t('noneHint') : t('noneHintMember')}
          href={mayCreate ? '/drvms/new' : undefined}
          action={t('create')}
        />
      ) : (
        <ListTable
          label={t('title')}
          isLoose
          hasHover
          heads={[t('name'), t('state'), t('department'), t('nodes'), t('cpu'), t('memory'), t('processes')]}
        >
          {drvms.map((drvm) => {
            const sum = (pick: (slice: (typeof drvm.slices)[number]) => number) =>
              drvm.slices.reduce((total, slice) => total + pick(slice), 0);
            return (
              <tr key={drvm.id}>
                <td>
                  <DrvmLink name={drvm.name} id={drvm.id} fw={600} />
                </td>
                <td>
                  <StateBadge state={drvm.state} />
                  {drvm.detail && (
                    <Text size="xs" c="dimmed" maw={260}>
                      {drvm.detail}
                    </Text>
                  )}
                </td>
                <td>{drvm.tenant}</td>
                <td>{drvm.slices.map((slice) => slice.node).join(', ')}</td>
                <td className="numeric">
                  {pair(
                    'cpu',
                    sum((slice) => slice.usedCpu),
                    sum((slice) => slice.cpu),
                  )}
                </td>
                <td className="numeric">
                  {pair(
                    'memoryMiB',
                    sum((slice) => slice.usedMemoryMiB),
                    sum((slice) => slice.memoryMiB),
                  )}
                </td>
                <td className="numeric">{sum((slice) => slice.processes)}</td>
              </tr>
            );
          })}
        </ListTable>
      )}
    </Stack>
  );
}
