'use client';
import { Button, Group } from '@mantine/core';
import { useTranslations } from 'next-intl';
import { useMutation } from 'urql';
import {
  CancelOperationMutation,
  ContinueOperationMutation,
  RetryOperationMutation,
} from '@/graphql/operations';
import { mayChangeOperations, useViewer } from '@/session/session';
import { notifyFailure } from './notify';

/**
 * What may be done about an operation as it is: one that goes on is cancelled, one that failed taken up again, and one
 * that waits for people is told that the work on a node is done.
 */
export function OperationActions({
  operation: { id, kind, state, awaits },
  onDone,
}: {
  operation: { id: string; kind: string; state: string; awaits?: readonly string[] | null };
  onDone?: () => void;
}) {
  const t = useTranslations('operations');
  const viewer = useViewer();
  const [cancelling, cancel] = useMutation(CancelOperationMutation);
  const [retrying, retry] = useMutation(RetryOperationMutation);
  const [telling, tell] = useMutation(ContinueOperationMutation);
  if (!mayChangeOperations(viewer.role, kind)) return null;
  const stop = async () => {
    const { error } = await cancel({ id });
    if (error) notifyFailure(t('cancelFailed'), error);
    onDone?.();
  };
  const proceed = async (node: string) => {
    const { error } = await tell({ id, nodes: [node] });
    if (error) notifyFailure(t('continueFailed'), error);
    onDone?.();
  };
  const again = async () => {
    const { error } = await retry({ id });
    if (error) notifyFailure(t('retryFailed'), error);
    onDone?.();
  };
  if (state === 'running' || state === 'queued') {
    return (
      <Group gap="xs">
        {(awaits ?? []).map((node) => (
          <Button
            key={node}
            size="compact-xs"
            variant="light"
            onClick={() => proceed(node)}
            loading={telling.fetching}
          >
            {t('continue', { node })}
          </Button>
        ))}
        <Button size="compact-xs" variant="light" color="red" onClick={stop} loading={cancelling.fetching}>
          {t('cancel')}
        </Button>
      </Group>
    );
  }
  if (state !== 'failed') return null;
  return (
    <Button size="compact-xs" variant="light" onClick={again} loading={retrying.fetching}>
      {t('retry')}
    </Button>
  );
}
