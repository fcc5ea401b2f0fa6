'use client';
import { Anchor, Button, Group, Skeleton, Stack, Table, Text, Title } from '@mantine/core';
import { IconPlus } from '@tabler/icons-react';
import Link from 'next/link';
import { useTranslations } from 'next-intl';
import { useEffect } from 'react';
import { useQuery } from 'urql';
import { DrvmsQuery } from '@/graphql/drvm';
import { useAmounts } from '@/parts/amounts';
import { Empty } from '@/parts/empty';
import { ScrollBox } from '@/parts/scroll-box';
import { StateBadge } from '@/parts/state-badge';
import { Trouble } from '@/parts/trouble';
import { mayManageDrvms, useViewer } from '@/session/session';

const REFRESH_MS = 3_000;

export function DrvmsScreen() {
  const t = useTranslations('drvms');
  const { amount } = useAmounts();
  const viewer = useViewer();
  const [{ data, error }, again] = useQuery({ query: DrvmsQuery });
  useEffect(() => {
    const timer = setInterval(() => again({ requestPolicy: 'network-only' }), REFRESH_MS);
    return () => clearInterval(timer);
  }, [again]);

  if (!data) return error ? <Trouble error={error} onRetry={() => again()} /> : <Skeleton h={240} />;
  const drvms = [...data.drvms.nodes].sort((a, b) =>
    a.name.localeCompare(b.name, undefined, { numeric: true }),
  );
  const mayCreate = mayManageDrvms(viewer.role);
  return (
    <Stack gap="lg">
      <Group justify="space-between">
        <Title order={1} fz={26}>
          {t('title')}
        </Title>
        {mayCreate && (
          <Button component={Link} href="/drvms/new" leftSection={<IconPlus size={18} aria-hidden />}>
            {t('create')}
          </Button>
        )}
      </Group>
      {error && <Trouble error={error} />}
      {drvms.length === 0 ? (
        <Empty
          title={t('none')}
          hint={mayCreate ? t('noneHint') : t('noneHintMember')}
          href={mayCreate ? '/drvms/new' : undefined}
          action={t('create')}
        />
      ) : (
        <ScrollBox label={t('title')} isCard>
          <Table verticalSpacing="sm" horizontalSpacing="md" highlightOnHover>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t('name')}</Table.Th>
                <Table.Th>{t('state')}</Table.Th>
                <Table.Th>{t('department')}</Table.Th>
                <Table.Th>{t('nodes')}</Table.Th>
                <Table.Th>{t('cpu')}</Table.Th>
                <Table.Th>{t('memory')}</Table.Th>
                <Table.Th>{t('processes')}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {drvms.map((drvm) => {
                const sum = (pick: (slice: (typeof drvm.slices)[number]) => number) =>
                  drvm.slices.reduce((total, slice) => total + pick(slice), 0);
                return (
                  <Table.Tr key={drvm.id}>
                    <Table.Td>
                      <Anchor
                        component={Link}
                        href={`/drvms/${encodeURIComponent(drvm.name)}?id=${drvm.id}`}
                        fw={600}
                      >
                        {drvm.name}
                      </Anchor>
                    </Table.Td>
                    <Table.Td>
                      <StateBadge state={drvm.state} />
                      {drvm.detail && (
                        <Text size="xs" c="dimmed" maw={260}>
                          {drvm.detail}
                        </Text>
                      )}
                    </Table.Td>
                    <Table.Td>{drvm.tenant}</Table.Td>
                    <Table.Td>{drvm.slices.map((slice) => slice.node).join(', ')}</Table.Td>
                    <Table.Td className="numeric">
                      {amount(
                        'cpu',
                        sum((slice) => slice.usedCpu),
                      )}{' '}
                      /{' '}
                      {amount(
                        'cpu',
                        sum((slice) => slice.cpu),
                      )}
                    </Table.Td>
                    <Table.Td className="numeric">
                      {amount(
                        'memoryMiB',
                        sum((slice) => slice.usedMemoryMiB),
                      )}{' '}
                      /{' '}
                      {amount(
                        'memoryMiB',
                        sum((slice) => slice.memoryMiB),
                      )}
                    </Table.Td>
                    <Table.Td className="numeric">{sum((slice) => slice.processes)}</Table.Td>
                  </Table.Tr>
                );
              })}
            </Table.Tbody>
          </Table>
        </ScrollBox>
      )}
    </Stack>
  );
}
