'use client';
import { useTranslations } from 'next-intl';
import { Tag } from './tag';

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
  on: 'teal',
  'powering-off': 'blue',
  'powering-on': 'blue',
  joining: 'blue',
  quarantined: 'red',
  passed: 'teal',
  accepted: 'teal',
  firing: 'red',
  resolved: 'teal',
};

/** The state of a node, DRVM, process or operation: a word, and a colour that only repeats it. */
export function StateBadge({ state, size = 'sm' }: { state: string; size?: 'xs' | 'sm' | 'md' }) {
  const t = useTranslations('states');
  return (
    <Tag color={COLORS[state] ?? 'gray'} size={size}>
      {t.has(state) ? t(state) : state}
    </Tag>
  );
}
