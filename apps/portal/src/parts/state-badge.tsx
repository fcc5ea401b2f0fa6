'use client';
import { Badge } from '@mantine/core';
import { useTranslations } from 'next-intl';

const COLORS: Record<string, string> = {
  up: 'teal',
  running: 'teal',
  succeeded: 'teal',
  starting: 'blue',
  creating: 'blue',
  queued: 'gray',
  waiting: 'gray',
  migrating: 'violet',
  draining: 'yellow',
  degraded: 'orange',
  down: 'red',
  failed: 'red',
  stopped: 'gray',
  drained: 'gray',
  off: 'gray',
  zombie: 'gray',
  cancelled: 'gray',
  compensated: 'orange',
  pending: 'gray',
  skipped: 'gray',
};

/** The state of a node, DRVM, process or operation: a word, and a colour that only repeats it. */
export function StateBadge({ state, size = 'sm' }: { state: string; size?: 'xs' | 'sm' | 'md' }) {
  const t = useTranslations('states');
  return (
    <Badge color={COLORS[state] ?? 'gray'} variant="light" size={size} radius="sm" tt="none">
      {t.has(state) ? t(state) : state}
    </Badge>
  );
}
