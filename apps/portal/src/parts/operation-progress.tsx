'use client';
import { Alert, CloseButton, Group, Paper, Progress, Stack, Text } from '@mantine/core';
import { IconCircleCheck, IconCircleDashed, IconCircleX, IconLoader2 } from '@tabler/icons-react';
import { useTranslations } from 'next-intl';
import { useSubscription } from 'urql';
import { OperationSubscription } from '@/graphql/operations';
import { useAmounts } from './amounts';
import { OperationActions } from './operation-actions';
import { StateBadge } from './state-badge';

const ENDED = ['succeeded', 'failed', 'cancelled', 'compensated'];

const STEP_ICONS: Record<string, typeof IconCircleCheck> = {
  succeeded: IconCircleCheck,
  running: IconLoader2,
  failed: IconCircleX,
};

/** What a migration answers, as the operation's result holds it. */
interface Moved {
  from: string;
  to: string;
  bytes: number;
  pauseMs: number;
}

function movedOf(result: string | null | undefined): Moved | null {
  if (!result) return null;
  const value = JSON.parse(result) as Partial<Moved>;
  return typeof value?.pauseMs === 'number' && typeof value.bytes === 'number' ? (value as Moved) : null;
}

/** An operation as it goes on: its steps, and in the end what came of it. */
export function OperationProgress({ id, onClose }: { id: string; onClose?: () => void }) {
  const t = useTranslations('operation');
  const { bytes, duration } = useAmounts();
  const [{ data, error }] = useSubscription({ query: OperationSubscription, variables: { id } });
  const operation = data?.operation;
  if (!operation) {
    return (
      <Paper className="card" p="md" radius="md" role="status">
        <Text size="sm">{error ? error.message : t('waiting')}</Text>
      </Paper>
    );
  }
  const hasEnded = ENDED.includes(operation.state);
  const moved = movedOf(operation.result);
  return (
    <Paper
      className="card"
      p="md"
      radius="md"
      role="status"
      aria-label={t('label')}
      data-state={operation.state}
    >
      <Stack gap="xs">
        <Group justify="space-between">
          <Group gap="sm">
            <Text fw={600} size="sm">
              {t.has(`kinds.${operation.kind}`) ? t(`kinds.${operation.kind}`) : operation.kind}
            </Text>
            <StateBadge state={operation.state} />
          </Group>
          <OperationActions operation={operation} />
          {onClose && hasEnded && <CloseButton onClick={onClose} aria-label={t('close')} />}
        </Group>
        <Progress
          value={operation.state === 'succeeded' ? 100 : operation.progress * 100}
          animated={!hasEnded}
          color={operation.state === 'failed' ? 'red' : undefined}
          aria-label={t('progress', { percent: Math.round(operation.progress * 100) })}
        />
        <Stack gap={2}>
          {operation.steps.map((step) => {
            const Icon = STEP_ICONS[step.state] ?? IconCircleDashed;
            return (
              <Group key={step.name} gap={6} wrap="nowrap" align="flex-start">
                <Icon size={16} aria-hidden style={{ flex: 'none', marginTop: 2 }} />
                <Text size="xs">
                  {step.name}
                  {step.error && ` – ${step.error}`}
                </Text>
              </Group>
            );
          })}
        </Stack>
        {moved && operation.state === 'succeeded' && (
          <Alert color="teal">
            {t('moved', {
              from: moved.from,
              to: moved.to,
              bytes: bytes(moved.bytes),
              pause: duration(Math.max(1, moved.pauseMs)),
            })}
          </Alert>
        )}
        {operation.error && (
          <Alert color="red" role="alert" title={operation.error.message}>
            {operation.error.hint}
          </Alert>
        )}
      </Stack>
    </Paper>
  );
}
