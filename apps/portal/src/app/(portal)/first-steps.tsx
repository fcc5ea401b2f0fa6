'use client';
import { Button, CloseButton, Group, Paper, Text, Title } from '@mantine/core';
import { IconCircleCheck, IconCircleDashed } from '@tabler/icons-react';
import Link from 'next/link';
import { useTranslations } from 'next-intl';
import type { ClusterFieldsFragment } from '@/gen/graphql';
import { drvmHref } from '@/parts/links';
import { useKept } from '@/parts/use-kept';
import { mayManageDrvms, mayRunPrograms, useViewer } from '@/session/session';

const KEPT_AS = 'drvs-first-steps';
const SKIPPED = 'skipped';

/** From nothing to a running program of one's own: what is to be done next, until it is done or put aside. */
export function FirstSteps({ nodes }: { nodes: ClusterFieldsFragment[] }) {
  const t = useTranslations('firstSteps');
  const { role } = useViewer();
  const [kept, keep] = useKept(KEPT_AS);
  const slices = nodes.flatMap((node) => node.slices);
  const [first] = slices;
  const isRunning = slices.some(({ processes }) => processes > 0);
  if (kept === null || kept === SKIPPED || isRunning || !mayRunPrograms(role)) return null;
  const steps = [
    { key: 'create', isDone: first !== undefined, href: mayManageDrvms(role) ? '/drvms/new' : null },
    { key: 'run', isDone: false, href: first ? drvmHref(first.drvm, first.drvmId) : null },
    { key: 'migrate', isDone: false, href: null },
  ] as const;
  const next = steps.find(({ isDone }) => !isDone);
  return (
    <Paper className="card" p="md" radius="md" component="section" aria-label={t('title')}>
      <Group justify="space-between" mb="xs" wrap="nowrap">
        <Title order={2} fz={18}>
          {t('title')}
        </Title>
        <CloseButton onClick={() => keep(SKIPPED)} aria-label={t('skip')} title={t('skip')} />
      </Group>
      <ol style={{ margin: 0, padding: 0, listStyle: 'none' }}>
        {steps.map(({ key, isDone, href }) => {
          const Icon = isDone ? IconCircleCheck : IconCircleDashed;
          return (
            <Group key={key} component="li" gap="sm" wrap="nowrap" align="flex-start" mb="xs">
              <Icon size={20} aria-hidden style={{ flex: 'none', marginTop: 2 }} />
              <div>
                <Text size="sm" fw={600}>
                  {t(`${key}.title`)} {isDone && `· ${t('done')}`}
                </Text>
                <Text size="sm" c="dimmed">
                  {t(`${key}.${key === 'create' && href === null ? 'whoElse' : 'what'}`)}
                </Text>
                {key === next?.key && href && (
                  <Button component={Link} href={href} size="xs" mt={6}>
                    {t(`${key}.title`)}
                  </Button>
                )}
              </div>
            </Group>
          );
        })}
      </ol>
    </Paper>
  );
}
