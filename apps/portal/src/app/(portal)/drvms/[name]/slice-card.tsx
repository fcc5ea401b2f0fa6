'use client';
import { Group, Paper, Stack, Text } from '@mantine/core';
import { useTranslations } from 'next-intl';
import type { DrvmDetailQuery } from '@/gen/graphql';
import { useAmounts } from '@/parts/amounts';
import { LoanNote } from '@/parts/loan-note';
import { Meter } from '@/parts/meter';
import { StateBadge } from '@/parts/state-badge';
import { DRAGGED_PROCESS } from './dragged-process';
import classes from './slice-card.module.css';

type Slice = NonNullable<DrvmDetailQuery['drvm']>['slices'][number];

/** What the DRVM has on one node. A process of the table below may be dropped here: it is asked about before it moves. */
export function SliceCard({
  slice,
  isTarget,
  onDropped,
}: {
  slice: Slice;
  /** A process is being dragged that could come here. */
  isTarget: boolean;
  onDropped: (pid: number) => void;
}) {
  const t = useTranslations('drvm');
  const { amount } = useAmounts();
  return (
    <Paper
      className={`card ${classes.slice}`}
      p="md"
      radius="md"
      data-node={slice.node}
      data-target={isTarget || undefined}
      onDragOver={(event) => {
        if (isTarget) event.preventDefault();
      }}
      onDrop={(event) => {
        event.preventDefault();
        const pid = Number(event.dataTransfer.getData(DRAGGED_PROCESS));
        if (isTarget && pid > 0) onDropped(pid);
      }}
    >
      <Group justify="space-between" mb={6}>
        <Group gap={6}>
          <Text fw={600}>{slice.node}</Text>
          {slice.isHome && (
            <Text size="xs" c="dimmed" title={t('homeHint')}>
              {t('home')}
            </Text>
          )}
        </Group>
        <StateBadge state={slice.state} size="xs" />
      </Group>
      <Stack gap={8}>
        <Meter metric="cpu" label={t('cpu')} capacity={slice.cpu} used={slice.usedCpu} />
        <LoanNote slice={slice} />
        <Meter metric="memoryMiB" label={t('memory')} capacity={slice.memoryMiB} used={slice.usedMemoryMiB} />
        <Text size="xs" c="dimmed" title={slice.isolation} lineClamp={1}>
          {t('sliceLine', { disk: amount('diskGiB', slice.diskGiB), processes: slice.processes })}
        </Text>
      </Stack>
    </Paper>
  );
}
