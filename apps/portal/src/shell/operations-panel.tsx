'use client';
import { Anchor, Group, Progress, Text } from '@mantine/core';
import Link from 'next/link';
import { useFormatter, useNow, useTranslations } from 'next-intl';
import { OperationsQuery } from '@/graphql/operations';
import { Awaited } from '@/parts/awaited';
import { OperationActions } from '@/parts/operation-actions';
import { StateBadge } from '@/parts/state-badge';
import { SubjectLink } from '@/parts/subject-link';
import { useAsked } from '@/parts/use-asked';
import classes from './operations-drawer.module.css';

const SHOWN = 8;
const REFRESH_MS = 2_000;

/** The last operations, in short. @param onLeave when one goes to a screen from here */
export function OperationsPanel({ onLeave }: { onLeave: () => void }) {
  const t = useTranslations('operations');
  const tOperation = useTranslations('operation');
  const format = useFormatter();
  const now = useNow({ updateInterval: 10_000 });
  const { data, error, refresh } = useAsked(
    { query: OperationsQuery, variables: { first: SHOWN } },
    REFRESH_MS,
  );
  if (!data) return <Awaited error={error} onRetry={refresh} height={120} />;
  return (
    <>
      {data.operations.nodes.length === 0 && <Text size="sm">{t('none')}</Text>}
      <ul className={classes.list}>
        {data.operations.nodes.map((operation) => (
          <li key={operation.id}>
            <Group justify="space-between" gap="xs" wrap="nowrap">
              <Text size="sm" fw={600}>
                {tOperation.has(`kinds.${operation.kind}`)
                  ? tOperation(`kinds.${operation.kind}`)
                  : operation.kind}
              </Text>
              <StateBadge state={operation.state} size="xs" />
            </Group>
            <Group justify="space-between" gap="xs" wrap="nowrap">
              <SubjectLink subject={operation.subject} />
              <Text size="xs" c="dimmed">
                {format.relativeTime(new Date(operation.createdAt), now)}
              </Text>
            </Group>
            {operation.state === 'running' && (
              <Progress
                mt={4}
                value={operation.progress * 100}
                aria-label={tOperation('progress', { percent: Math.round(operation.progress * 100) })}
              />
            )}
            {operation.error && (
              <Text size="xs" c="dimmed">
                {operation.error.message} {operation.error.hint}
              </Text>
            )}
            <OperationActions operation={operation} onDone={refresh} />
          </li>
        ))}
      </ul>
      <Anchor component={Link} href="/operations" size="sm" onClick={onLeave}>
        {t('all')}
      </Anchor>
    </>
  );
}
