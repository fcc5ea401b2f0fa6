'use client';
import { Group, Paper, Switch, Text, Title } from '@mantine/core';
import { useTranslations } from 'next-intl';
import { useEffect, useRef, useState } from 'react';
import { useClient } from 'urql';
import { OutputSubscription } from '@/graphql/drvm';
import { Tag } from '@/parts/tag';

/** Characters kept on the page; the DRVM keeps more, `drvs logs` shows it. */
const KEPT_CHARACTERS = 64 * 1024;
const RETRY_MS = 2_000;

interface Shown {
  text: string;
  offset: number;
  exitCode: number | null;
  signal: string | null;
}

/** What a program prints, as it prints it. A cut connection takes up again at the next byte. */
export function OutputPanel({ drvm, pid, command }: { drvm: string; pid: number; command: string }) {
  const t = useTranslations('output');
  const client = useClient();
  const [shown, setShown] = useState<Shown>({ text: '', offset: 0, exitCode: null, signal: null });
  const [isFollowing, setFollowing] = useState(true);
  const panel = useRef<HTMLPreElement>(null);
  const next = useRef(0);

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout>;
    let subscription: { unsubscribe(): void } | null = null;
    let hasEnded = false;
    const follow = () => {
      subscription = client
        .subscription(OutputSubscription, { drvm, pid, offset: next.current })
        .subscribe(({ data, error, hasNext }) => {
          if (data) {
            const { text, offset, exitCode, signal } = data.output;
            next.current = offset + new TextEncoder().encode(text).length;
            hasEnded = exitCode !== null && exitCode !== undefined;
            setShown((before) => ({
              text: (before.text + text).slice(-KEPT_CHARACTERS),
              offset: next.current,
              exitCode: exitCode ?? null,
              signal: signal ?? null,
            }));
          }
          if ((error || hasNext === false) && !hasEnded) {
            clearTimeout(timer);
            timer = setTimeout(follow, RETRY_MS);
          }
        });
    };
    follow();
    return () => {
      clearTimeout(timer);
      subscription?.unsubscribe();
    };
  }, [client, drvm, pid]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: new text is what moves the view
  useEffect(() => {
    if (isFollowing && panel.current) panel.current.scrollTop = panel.current.scrollHeight;
  }, [shown.text, isFollowing]);

  return (
    <Paper className="card" p="md" radius="md" component="section">
      <Group justify="space-between" mb="xs">
        <Group gap="sm">
          <Title order={2} fz={18}>
            {t('title', { pid })}
          </Title>
          <Text ff="monospace" size="sm" c="dimmed" truncate maw={320}>
            {command}
          </Text>
          {shown.exitCode !== null && (
            <Tag color={shown.exitCode === 0 ? 'teal' : 'orange'}>
              {shown.signal
                ? t('signalled', { signal: shown.signal })
                : t('exited', { code: shown.exitCode })}
            </Tag>
          )}
        </Group>
        <Switch
          size="sm"
          label={t('follow')}
          checked={isFollowing}
          onChange={(event) => setFollowing(event.currentTarget.checked)}
        />
      </Group>
      <pre
        className="output"
        ref={panel}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
        tabIndex={0}
        role="log"
        aria-label={t('title', { pid })}
        data-testid="output"
      >
        {shown.text === '' ? t('nothingYet') : shown.text}
      </pre>
    </Paper>
  );
}
