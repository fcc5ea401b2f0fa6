'use client';
import { Button } from '@mantine/core';
import { useTranslations } from 'next-intl';
import { useMutation } from 'urql';
import { CancelOperationMutation, RetryOperationMutation } from '@/graphql/operations';
import { mayChangeOperations, useViewer } from '@/session/session';
import { notifyFailure } from './notify';

/** What may be done about an operation as it is: one that goes on is cancelled, one that failed taken up again. */
export function OperationActions({
  operation: { id, kind, state },
  onDone,
}: {
  operation: { id: string; kind: string; state: string };
  onDone?: () => void;
}) {
  const t = useTranslations('operations');
  const viewer = useViewer();
  const [cancelling, cancel] = useMutation(CancelOperationMutation);
  const [retrying, retry] = useMutation(RetryOperationMutation);
  if (!mayChangeOperations(viewer.role, kind)) return null;
  const stop = async () => {
    const { error } = await cancel({ id });
    if (error) notifyFailure(t('cancelFailed'), error);
    onDone?.();
  };
  const again = async () => {
    const { error } = await retry({ id });
    if (error) notifyFailure(t('retryFailed'), error);
    onDone?.();
  };
  if (state === 'running' || state === 'queued') {
    return (
      <Button size="compact-xs" variant="light" color="red" onClick={stop} loading={cancelling.fetching}>
        {t('cancel')}
      </Button>
    );
  }
  if (state !== 'failed') return null;
  return (
    <Button size="compact-xs" variant="light" onClick={again} loading={retrying.fetching}>
      {t('retry')}
    </Button>
  );
}
