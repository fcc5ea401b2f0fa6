'use client';
import {
  Alert,
  Anchor,
  Button,
  Group,
  NativeSelect,
  Paper,
  SegmentedControl,
  Stack,
  Text,
  Title,
} from '@mantine/core';
import { IconArrowBackUp, IconRoute } from '@tabler/icons-react';
import { useTranslations } from 'next-intl';
import { useState } from 'react';
import { type CombinedError, useMutation } from 'urql';
import type { PlanFieldsFragment } from '@/gen/graphql';
import { ApplyPlanMutation, MakePlanMutation, PlansQuery, UndoPlanMutation } from '@/graphql/plans';
import { Awaited } from '@/parts/awaited';
import { ListTable } from '@/parts/list-table';
import { notifyFailure } from '@/parts/notify';
import { OperationProgress } from '@/parts/operation-progress';
import { ScreenHead } from '@/parts/screen-head';
import { Trouble } from '@/parts/trouble';
import { useAddress } from '@/parts/use-address';
import { useAsked } from '@/parts/use-asked';
import { useLiveCluster } from '@/parts/use-live-cluster';
import { useMoment } from '@/parts/use-moment';
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
  const moment = useMoment();
  const viewer = useViewer();
  const { written, chosen, choose } = useAddress();
  const { nodes } = useLiveCluster();
  const { data, error, refresh } = useAsked({ query: PlansQuery, variables: { first: SHOWN } });
  const [making, make] = useMutation(MakePlanMutation);
  const [applying, apply] = useMutation(ApplyPlanMutation);
  const [undoing, undo] = useMutation(UndoPlanMutation);
  const [plan, setPlan] = useState<PlanFieldsFragment | null>(null);
  const [operation, setOperation] = useState<string | null>(null);
  const [trouble, setTrouble] = useState<CombinedError | null>(null);

  const kinds = viewer.role === 'supra-admin' ? KINDS_OF_SUPRA : KINDS_OF_ALL;
  const kind = chosen<Kind>('kind', kinds);
  const node = written('node');
  const ask = (changes: { kind?: string; node?: string | null }) => {
    choose(changes);
    setPlan(null);
    setTrouble(null);
  };

  const makeIt = async () => {
    setOperation(null);
    setTrouble(null);
    const answer = await make({ kind, node: kind === 'drain' ? node : null });
    if (answer.error) setTrouble(answer.error);
    else setPlan(answer.data?.makePlan ?? null);
    refresh();
  };
  const applyIt = async () => {
    if (!plan) return;
    const answer = await apply({ id: plan.id });
    if (answer.error) notifyFailure(t('applyFailed'), answer.error);
    else setOperation(answer.data?.applyPlan.id ?? null);
    refresh();
  };
  /** The way back is a plan too: it is seen before it is carried out. */
  const undoIt = async () => {
    if (!plan) return;
    setTrouble(null);
    const answer = await undo({ id: plan.id });
    if (answer.error) return notifyFailure(t('undoFailed'), answer.error);
    setOperation(null);
    setPlan(answer.data?.undoPlan ?? null);
    refresh();
  };
  const mayPlan = mayManageDrvms(viewer.role);

  return (
    <Stack gap="lg">
      <ScreenHead title={t('title')} what={t('what')} />
      {mayPlan && (
        <Paper className="card" p="md" radius="md">
          <Stack gap="md" align="flex-start">
            <SegmentedControl
              aria-label={t('kind')}
              data={kinds.map((value) => ({ value, label: t(`kinds.${value}`) }))}
              value={kind}
              onChange={(value) => ask({ kind: value })}
              style={{ flexWrap: 'wrap' }}
            />
            <Text size="sm" maw={720}>
              {t(`about.${kind}`)}
            </Text>
            <Group align="flex-end">
              {kind === 'drain' && (
                <NativeSelect
                  label={t('node')}
                  data={['', ...(nodes ?? []).map(({ name }) => name)]}
                  value={node ?? ''}
                  onChange={(change) => ask({ node: change.currentTarget.value || null })}
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
          {operation && <OperationProgress key={operation} id={operation} />}
          {operation || plan.operation ? (
            mayPlan &&
            plan.kind !== 'undo' && (
              <Group>
                <Button
                  variant="default"
                  leftSection={<IconArrowBackUp size={16} aria-hidden />}
                  onClick={undoIt}
                  loading={undoing.fetching}
                >
                  {t('undo')}
                </Button>
              </Group>
            )
          ) : plan.steps.length > 0 ? (
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
      {error && data && <Trouble error={error} />}
      {!data ? (
        <Awaited error={error} onRetry={refresh} height={120} />
      ) : data.plans.nodes.length === 0 ? (
        <Alert color="gray">{t('none')}</Alert>
      ) : (
        <ListTable label={t('recent')} heads={[t('kind'), t('gain'), t('by'), t('at'), t('carriedOut')]}>
          {data.plans.nodes.map((each) => (
            <tr key={each.id}>
              <td>
                <Anchor
                  component="button"
                  type="button"
                  size="sm"
                  onClick={() => {
                    setOperation(null);
                    setPlan(each);
                  }}
                >
                  {t.has(`kinds.${each.kind}`) ? t(`kinds.${each.kind}`) : each.kind}
                  {each.node && ` · ${each.node}`}
                </Anchor>
              </td>
              <td>{each.gain.summary}</td>
              <td>{each.requestedBy}</td>
              <td className="numeric">{moment(each.createdAt)}</td>
              <td>{each.operation ? t('yes') : t('no')}</td>
            </tr>
          ))}
        </ListTable>
      )}
    </Stack>
  );
}
