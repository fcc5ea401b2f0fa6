'use client';
import {
  Alert,
  Anchor,
  Button,
  Group,
  Paper,
  SegmentedControl,
  Select,
  Skeleton,
  Stack,
  Table,
  Text,
  Title,
} from '@mantine/core';
import { IconRoute } from '@tabler/icons-react';
import { usePathname, useRouter, useSearchParams } from 'next/navigation';
import { useFormatter, useTranslations } from 'next-intl';
import { useState } from 'react';
import { type CombinedError, useMutation, useQuery } from 'urql';
import type { PlanFieldsFragment } from '@/gen/graphql';
import { ApplyPlanMutation, MakePlanMutation, PlansQuery } from '@/graphql/plans';
import { notifyFailure } from '@/parts/notify';
import { OperationProgress } from '@/parts/operation-progress';
import { ScrollBox } from '@/parts/scroll-box';
import { Trouble } from '@/parts/trouble';
import { useLiveCluster } from '@/parts/use-live-cluster';
import { mayManageDrvms, useViewer } from '@/session/session';
import { PlanView } from './plan-view';

/** What a department may plan for its own DRVMs, and what only the whole cluster's administrator may. */
const KINDS_OF_ALL = ['balance'] as const;
const KINDS_OF_SUPRA = ['balance', 'consolidate', 'reallocate', 'drain'] as const;
type Kind = (typeof KINDS_OF_SUPRA)[number];
const SHOWN = 20;

/** Nothing is changed before a plan is seen: what it would do, why, what it costs, and what it leaves and why. */
export function PlansScreen() {
  const t = useTranslations('plans');
  const format = useFormatter();
  const viewer = useViewer();
  const router = useRouter();
  const path = usePathname();
  const search = useSearchParams();
  const { nodes } = useLiveCluster();
  const [{ data, error }, again] = useQuery({ query: PlansQuery, variables: { first: SHOWN } });
  const [making, make] = useMutation(MakePlanMutation);
  const [applying, apply] = useMutation(ApplyPlanMutation);
  const [plan, setPlan] = useState<PlanFieldsFragment | null>(null);
  const [operation, setOperation] = useState<string | null>(null);
  const [trouble, setTrouble] = useState<CombinedError | null>(null);

  const kinds: readonly Kind[] = viewer.role === 'supra-admin' ? KINDS_OF_SUPRA : KINDS_OF_ALL;
  const wanted = search.get('kind') as Kind | null;
  const kind = wanted !== null && kinds.includes(wanted) ? wanted : 'balance';
  const node = search.get('node');
  const choose = (changes: { kind?: string; node?: string | null }) => {
    const next = new URLSearchParams(search);
    for (const [key, value] of Object.entries(changes)) {
      if (value) next.set(key, value);
      else next.delete(key);
    }
    router.replace(`${path}?${next}`);
    setPlan(null);
    setTrouble(null);
  };

  const makeIt = async () => {
    setOperation(null);
    setTrouble(null);
    const answer = await make({ kind, node: kind === 'drain' ? node : null });
    if (answer.error) setTrouble(answer.error);
    else setPlan(answer.data?.makePlan ?? null);
    again({ requestPolicy: 'network-only' });
  };
  const applyIt = async () => {
    if (!plan) return;
    const answer = await apply({ id: plan.id });
    if (answer.error) notifyFailure(t('applyFailed'), answer.error);
    else setOperation(answer.data?.applyPlan.id ?? null);
    again({ requestPolicy: 'network-only' });
  };
  const mayPlan = mayManageDrvms(viewer.role);

  return (
    <Stack gap="lg">
      <div>
        <Title order={1} fz={26}>
          {t('title')}
        </Title>
        <Text c="dimmed">{t('what')}</Text>
      </div>
      {mayPlan && (
        <Paper className="card" p="md" radius="md">
          <Stack gap="md" align="flex-start">
            <SegmentedControl
              aria-label={t('kind')}
              data={kinds.map((value) => ({ value, label: t(`kinds.${value}`) }))}
              value={kind}
              onChange={(value) => choose({ kind: value })}
              style={{ flexWrap: 'wrap' }}
            />
            <Text size="sm" maw={720}>
              {t(`about.${kind}`)}
            </Text>
            <Group align="flex-end">
              {kind === 'drain' && (
                <Select
                  label={t('node')}
                  data={(nodes ?? []).map(({ name }) => name)}
                  value={node}
                  onChange={(value) => choose({ node: value })}
                  allowDeselect={false}
                />
              )}
              <Button
                leftSection={<IconRoute size={18} aria-hidden />}
                onClick={makeIt}
                loading={making.fetching}
                disabled={kind === 'drain' && !node}
              >
                {t('make')}
              </Button>
            </Group>
          </Stack>
        </Paper>
      )}
      {trouble && <Trouble error={trouble} onRetry={makeIt} />}
      {plan && (
        <PlanView plan={plan}>
          {operation ? (
            <OperationProgress id={operation} />
          ) : plan.steps.length > 0 && plan.operation === null ? (
            <Group>
              <Button onClick={applyIt} loading={applying.fetching}>
                {t('apply', { count: plan.steps.length })}
              </Button>
              <Button variant="default" onClick={() => setPlan(null)}>
                {t('discard')}
              </Button>
            </Group>
          ) : null}
        </PlanView>
      )}
      <Title order={2} fz={18}>
        {t('recent')}
      </Title>
      {error && <Trouble error={error} />}
      {!data ? (
        !error && <Skeleton h={120} />
      ) : data.plans.nodes.length === 0 ? (
        <Alert color="gray">{t('none')}</Alert>
      ) : (
        <ScrollBox label={t('recent')} isCard>
          <Table verticalSpacing="xs" horizontalSpacing="md">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t('kind')}</Table.Th>
                <Table.Th>{t('gain')}</Table.Th>
                <Table.Th>{t('by')}</Table.Th>
                <Table.Th>{t('at')}</Table.Th>
                <Table.Th>{t('carriedOut')}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {data.plans.nodes.map((each) => (
                <Table.Tr key={each.id}>
                  <Table.Td>
                    <Anchor component="button" type="button" size="sm" onClick={() => setPlan(each)}>
                      {t.has(`kinds.${each.kind}`) ? t(`kinds.${each.kind}`) : each.kind}
                      {each.node && ` · ${each.node}`}
                    </Anchor>
                  </Table.Td>
                  <Table.Td>{each.gain.summary}</Table.Td>
                  <Table.Td>{each.requestedBy}</Table.Td>
                  <Table.Td className="numeric">
                    {format.dateTime(new Date(each.createdAt), { dateStyle: 'short', timeStyle: 'medium' })}
                  </Table.Td>
                  <Table.Td>{each.operation ? t('yes') : t('no')}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </ScrollBox>
      )}
    </Stack>
  );
}
