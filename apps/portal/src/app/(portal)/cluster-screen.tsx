'use client';
import { Group, SegmentedControl, Skeleton, Stack, Text, Title } from '@mantine/core';
import dynamic from 'next/dynamic';
import { useTranslations } from 'next-intl';
import { METRICS, type Metric } from '@/parts/amounts';
import { Awaited } from '@/parts/awaited';
import { LiveBadge } from '@/parts/live-badge';
import { MetricMeters } from '@/parts/metric-meters';
import { ScreenHead } from '@/parts/screen-head';
import { useAddress } from '@/parts/use-address';
import { useLiveCluster } from '@/parts/use-live-cluster';
import { useViewer } from '@/session/session';
import { KioskButton } from '@/shell/kiosk-button';
import { ClusterMap } from './cluster-map';
import { FirstSteps } from './first-steps';

const VIEWS = ['map', 'graph'] as const;
const ClusterGraph = dynamic(() => import('./cluster-graph').then((loaded) => loaded.ClusterGraph), {
  ssr: false,
  loading: () => <Skeleton h={290} />,
});

/** What the cluster has, who holds it, and how much of it is in use, now. */
export function ClusterScreen() {
  const t = useTranslations('cluster');
  const viewer = useViewer();
  const { nodes, error, updatedAt, again } = useLiveCluster();
  const { chosen, choose } = useAddress();
  const metric = chosen('metric', METRICS);
  const view = chosen('view', VIEWS);

  if (!nodes) return <Awaited error={error} onRetry={again} height={320} />;
  // Totals count only nodes that can be given; the same nodes in each of the three numbers.
  const usable = nodes.filter((node) => node.state === 'up');
  const sums = (kind: 'capacity' | 'allocated' | 'used'): Record<Metric, number> => {
    const sum = (metric: Metric) => usable.reduce((total, node) => total + node[kind][metric], 0);
    return { cpu: sum('cpu'), memoryMiB: sum('memoryMiB'), diskGiB: sum('diskGiB') };
  };
  return (
    <Stack gap="lg">
      <ScreenHead
        title={t('title')}
        what={t('summary', {
          nodes: nodes.length,
          up: usable.length,
          drvms: new Set(nodes.flatMap((node) => node.slices.map((slice) => slice.drvmId))).size,
        })}
      >
        <Group>
          <LiveBadge updatedAt={updatedAt} />
          <KioskButton />
        </Group>
      </ScreenHead>
      <FirstSteps nodes={nodes} />
      <MetricMeters capacity={sums('capacity')} allocated={sums('allocated')} used={sums('used')} />
      <Group justify="space-between">
        <Title order={2} fz={18}>
          {t('map')}
        </Title>
        <Group>
          <SegmentedControl
            aria-label={t('view')}
            size="xs"
            value={view}
            onChange={(value) => choose({ view: value === VIEWS[0] ? null : value })}
            data={VIEWS.map((each) => ({ value: each, label: t(`views.${each}`) }))}
          />
          <SegmentedControl
            aria-label={t('metric')}
            size="xs"
            value={metric}
            onChange={(value) => choose({ metric: value === METRICS[0] ? null : value })}
            data={METRICS.map((each) => ({ value: each, label: t(`metrics.${each}`) }))}
          />
        </Group>
      </Group>
      {view === 'map' ? (
        <ClusterMap nodes={nodes} metric={metric} />
      ) : (
        <ClusterGraph nodes={nodes} metric={metric} />
      )}
      {viewer.role !== 'supra-admin' && viewer.tenant && (
        <Text size="sm" c="dimmed">
          {t('redacted', { tenant: viewer.tenant })}
        </Text>
      )}
    </Stack>
  );
}
