'use client';
import { Group, Paper, SegmentedControl, SimpleGrid, Skeleton, Stack, Text, Title } from '@mantine/core';
import { useTranslations } from 'next-intl';
import { useState } from 'react';
import type { ClusterFieldsFragment } from '@/gen/graphql';
import { METRICS, type Metric } from '@/parts/amounts';
import { LiveBadge } from '@/parts/live-badge';
import { Meter } from '@/parts/meter';
import { Trouble } from '@/parts/trouble';
import { useLiveCluster } from '@/parts/use-live-cluster';
import { useViewer } from '@/session/session';
import { ClusterMap } from './cluster-map';

/** What the cluster has, who holds it, and how much of it is in use, now. */
export function ClusterScreen() {
  const t = useTranslations('cluster');
  const viewer = useViewer();
  const { nodes, error, updatedAt, again } = useLiveCluster();
  const [metric, setMetric] = useState<Metric>('cpu');

  if (!nodes) return error ? <Trouble error={error} onRetry={again} /> : <Skeleton h={320} />;
  // Totals count only nodes that can be given; the same nodes in each of the three numbers.
  const usable = nodes.filter((node) => node.state === 'up');
  const sum = (pick: (node: ClusterFieldsFragment) => number) =>
    usable.reduce((total, node) => total + pick(node), 0);
  return (
    <Stack gap="lg">
      <Group justify="space-between" align="flex-start">
        <div>
          <Title order={1} fz={26}>
            {t('title')}
          </Title>
          <Text c="dimmed" size="sm">
            {t('summary', {
              nodes: nodes.length,
              up: usable.length,
              drvms: new Set(nodes.flatMap((node) => node.slices.map((slice) => slice.drvmId))).size,
            })}
          </Text>
        </div>
        <LiveBadge updatedAt={updatedAt} />
      </Group>
      <SimpleGrid cols={{ base: 1, sm: 3 }}>
        {METRICS.map((each) => (
          <Paper key={each} className="card" p="md" radius="md">
            <Text fw={600} size="sm" mb={6}>
              {t(`metrics.${each}`)}
            </Text>
            <Meter
              metric={each}
              label={t('usedAllocatedTotal')}
              capacity={sum((node) => node.capacity[each])}
              allocated={sum((node) => node.allocated[each])}
              used={sum((node) => node.used[each])}
            />
          </Paper>
        ))}
      </SimpleGrid>
      <Group justify="space-between">
        <Title order={2} fz={18}>
          {t('map')}
        </Title>
        <SegmentedControl
          aria-label={t('metric')}
          size="xs"
          value={metric}
          onChange={(value) => setMetric(value as Metric)}
          data={METRICS.map((each) => ({ value: each, label: t(`metrics.${each}`) }))}
        />
      </Group>
      <ClusterMap nodes={nodes} metric={metric} />
      {viewer.role !== 'supra-admin' && viewer.tenant && (
        <Text size="sm" c="dimmed">
          {t('redacted', { tenant: viewer.tenant })}
        </Text>
      )}
    </Stack>
  );
}
