'use client';
import { Paper, SimpleGrid, Text } from '@mantine/core';
import { useTranslations } from 'next-intl';
import { METRICS, type Metric } from './amounts';
import { Meter } from './meter';

type Sums = Record<Metric, number>;

/** What there is, what of it is allocated and what used: a card for each class. */
export function MetricMeters(sums: { capacity: Sums; allocated: Sums; used: Sums }) {
  const t = useTranslations('cluster');
  return (
    <SimpleGrid cols={{ base: 1, sm: 3 }}>
      {METRICS.map((metric) => (
        <Paper key={metric} className="card" p="md" radius="md">
          <Text fw={600} size="sm" mb={6}>
            {t(`metrics.${metric}`)}
          </Text>
          <Meter
            metric={metric}
            label={t('usedAllocatedTotal')}
            capacity={sums.capacity[metric]}
            allocated={sums.allocated[metric]}
            used={sums.used[metric]}
          />
        </Paper>
      ))}
    </SimpleGrid>
  );
}
