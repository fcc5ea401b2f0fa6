'use client';
import { Box, Group, Text } from '@mantine/core';
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
  const { amounts } = useAmounts();
  const words = amounts(metric, allocated === undefined ? [used, capacity] : [used, allocated, capacity]);
  return (
    <Box>
      {label && (
        <Group justify="space-between" gap="xs" wrap="nowrap">
          <Text size="xs" c="dimmed" truncate>
            {label}
          </Text>
          <Text size="xs" className="numeric" style={{ whiteSpace: 'nowrap' }}>
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
