'use client';
import { Alert, Button, Stack, Text } from '@mantine/core';
import { IconAlertTriangle } from '@tabler/icons-react';
import { useTranslations } from 'next-intl';
import type { CombinedError } from 'urql';
import { said } from './errors';

/** An error where its answer would have been: what happened, what to do, and a way to try again. */
export function Trouble({ error, onRetry }: { error: CombinedError; onRetry?: () => void }) {
  const t = useTranslations('errors');
  const { code, message, hint } = said(error);
  const isAway = code === 'ApiAway';
  return (
    <Alert
      color="red"
      icon={<IconAlertTriangle aria-hidden />}
      title={isAway ? t('apiAway') : t('failed')}
      role="alert"
      maw={640}
    >
      <Stack gap="xs" align="flex-start">
        <Text size="sm">{isAway ? t('apiAwayHint') : message}</Text>
        {hint && <Text size="sm">{hint}</Text>}
        <Text size="xs" c="dimmed">
          {code}
        </Text>
        {onRetry && (
          <Button size="xs" variant="light" color="red" onClick={onRetry}>
            {t('retry')}
          </Button>
        )}
      </Stack>
    </Alert>
  );
}
