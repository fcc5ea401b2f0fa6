'use client';
import { SimpleGrid, Text } from '@mantine/core';
import { useTranslations } from 'next-intl';
import type { DepartmentFieldsFragment } from '@/gen/graphql';
import { METRICS, type Metric, useAmounts } from '@/parts/amounts';
import { Meter } from '@/parts/meter';

/** What the department would hold with this DRVM, of what it may hold. */
export function QuotaMeters({
  department: { quota, used },
  asked,
}: {
  department: DepartmentFieldsFragment;
  asked: Record<Metric, number>;
}) {
  const t = useTranslations('newDrvm');
  const tMetrics = useTranslations('cluster.metrics');
  const { amount } = useAmounts();
  return (
    <SimpleGrid cols={{ base: 1, sm: 3 }}>
      {METRICS.map((metric) => {
        const limit = quota[metric];
        const held = used[metric] + asked[metric];
        return (
          <div key={metric}>
            <Text size="sm" fw={600}>
              {tMetrics(metric)}
            </Text>
            {typeof limit === 'number' ? (
              <>
                <Meter
                  metric={metric}
                  label={t('quotaWords')}
                  capacity={limit}
                  allocated={held}
                  used={used[metric]}
                />
                {held > limit && (
                  <Text size="xs" fw={600} role="status">
                    {t('overQuota', { amount: amount(metric, held - limit) })}
                  </Text>
                )}
              </>
            ) : (
              <Text size="xs" c="dimmed">
                {t('noQuota', { amount: amount(metric, held) })}
              </Text>
            )}
          </div>
        );
      })}
    </SimpleGrid>
  );
}
