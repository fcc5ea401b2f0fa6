'use client';
import { Button, Center, Paper, Stack, Text, Title } from '@mantine/core';
import { useTranslations } from 'next-intl';

/** A page that broke: says so plainly and offers the way back. */
export default function PageBroke({ error, reset }: { error: Error; reset: () => void }) {
  const t = useTranslations('errors');
  return (
    <Center mih="60vh" p="md">
      <Paper className="card" p="xl" radius="md" role="alert">
        <Stack align="flex-start">
          <Title order={1} fz={22}>
            {t('broke')}
          </Title>
          <Text size="sm" c="dimmed">
            {error.message}
          </Text>
          <Button onClick={reset}>{t('retry')}</Button>
        </Stack>
      </Paper>
    </Center>
  );
}
