'use client';
import { Group, List, Paper, Stack, Text, Title } from '@mantine/core';
import { useTranslations } from 'next-intl';
import type { ReactNode } from 'react';
import type { PlanFieldsFragment } from '@/gen/graphql';
import { useAmounts } from '@/parts/amounts';
import { Rejected } from '@/parts/rejected';
import { Tag } from '@/parts/tag';

/** A plan as a person reads it: the steps in order with their reasons, gain and cost, and what was not done and why. */
export function PlanView({ plan, children }: { plan: PlanFieldsFragment; children?: ReactNode }) {
  const t = useTranslations('plans');
  const { bytes, duration } = useAmounts();
  return (
    <Paper className="card" p="md" radius="md" component="section" aria-label={t('plan')}>
      <Stack gap="md">
        <Group justify="space-between">
          <Title order={2} fz={18}>
            {t.has(`kinds.${plan.kind}`) ? t(`kinds.${plan.kind}`) : plan.kind}
            {plan.node && ` · ${plan.node}`}
          </Title>
          <Tag color={plan.steps.length > 0 ? 'blue' : 'gray'}>
            {t('steps', { count: plan.steps.length })}
          </Tag>
        </Group>
        <Text>{plan.gain.summary}</Text>
        <Text size="sm" c="dimmed">
          {plan.cost.summary}
        </Text>
        {plan.steps.length > 0 && (
          <List type="ordered" spacing="xs" size="sm">
            {plan.steps.map((step, position) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: the steps of a plan never change their order
              <List.Item key={position}>
                <Text size="sm" fw={600}>
                  {t.has(`actions.${step.action}`)
                    ? t(`actions.${step.action}`, {
                        drvm: step.drvm ?? '',
                        pid: step.pid ?? 0,
                        node: step.node ?? '',
                        from: step.from ?? '',
                        to: step.to ?? '',
                      })
                    : step.action}
                  {step.bytes ? (
                    <Text span size="xs" c="dimmed" ml={6}>
                      {bytes(step.bytes)}
                      {step.pauseMs ? ` · ${t('pause', { pause: duration(step.pauseMs) })}` : ''}
                    </Text>
                  ) : null}
                </Text>
                <Text size="xs" c="dimmed">
                  {step.reason}
                </Text>
              </List.Item>
            ))}
          </List>
        )}
        <Rejected title={t('rejected', { count: plan.rejected.length })} of={plan.rejected} />
        {children}
      </Stack>
    </Paper>
  );
}
