'use client';
import { Button, CopyButton, Group, Stack, Text } from '@mantine/core';
import { useTranslations } from 'next-intl';
import { asCommand, asGraphql, asRest, type WishedDrvm } from './request-words';

/** The request of the form for who would rather write it, or have a program make it. */
export function SameRequest({ wished }: { wished: WishedDrvm }) {
  const t = useTranslations('newDrvm');
  const words = {
    CLI: asCommand(wished),
    REST: asRest(wished, location.origin),
    GraphQL: asGraphql(wished),
  };
  return (
    <Stack gap="sm" mt="sm">
      {Object.entries(words).map(([kind, text]) => (
        <div key={kind}>
          <Group justify="space-between" mb={4}>
            <Text size="sm" fw={600}>
              {kind}
            </Text>
            <CopyButton value={text}>
              {({ copied, copy }) => (
                <Button
                  size="compact-xs"
                  variant="subtle"
                  onClick={copy}
                  aria-label={t('copyThis', { kind })}
                >
                  {copied ? t('copied') : t('copy')}
                </Button>
              )}
            </CopyButton>
          </Group>
          <pre className="output">{text}</pre>
        </div>
      ))}
    </Stack>
  );
}
