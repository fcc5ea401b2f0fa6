'use client';
import { Box, Group, Text } from '@mantine/core';
import { useTranslations } from 'next-intl';
import { type Metric, share, useAmounts } from './amounts';
import classes from './meter.module.css';

/**
 * Three numbers in one bar: what there is (its length), what is given away (pale), what is in use (full).
 * The numbers stand beside it in words, so that neither colour nor width is the only cue.
 */
export function Meter({
  metric,
  capacity,
  allocated,
  used,
  label,
}: {
  metric: Metric;
  capacity: number;
  /** Left out where all of the capacity is given to whom the meter is about. */
  allocated?: number;
  used: number;
  label?: string;
}) {
  const t = useTranslations('meter');
  const { amount } = useAmounts();
  const words =
    allocated === undefined
      ? t('usedOf', { used: amount(metric, used), capacity: amount(metric, capacity) })
      : t('words', {
          used: amount(metric, used),
          allocated: amount(metric, allocated),
          capacity: amount(metric, capacity),
        });
  return (
    <Box>
      {label && (
        <Group justify="space-between" gap="xs" wrap="nowrap">
          <Text size="xs" c="dimmed">
            {label}
          </Text>
          <Text size="xs" className="numeric" truncate>
            {words}
          </Text>
        </Group>
      )}
      <Box
        className={classes.track}
        role="img"
        aria-label={label ? `${label}: ${words}` : words}
        title={words}
      >
        <Box
          className={classes.allocated}
          style={{ width: `${share(allocated ?? capacity, capacity) * 100}%` }}
        />
        <Box
          className={classes.used}
          data-hot={share(used, capacity) > 0.9 || undefined}
          style={{ width: `${share(used, capacity) * 100}%` }}
        />
      </Box>
    </Box>
  );
}
