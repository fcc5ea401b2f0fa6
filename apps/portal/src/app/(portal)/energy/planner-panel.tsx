'use client';
import { Button, Group, List, NumberInput, SegmentedControl, SimpleGrid, Stack, Text } from '@mantine/core';
import { useFormatter, useTranslations } from 'next-intl';
import { useState } from 'react';
import { type CombinedError, useMutation } from 'urql';
import { ChangePlannerMutation, PlannerQuery } from '@/graphql/energy';
import { Awaited } from '@/parts/awaited';
import { errorCode } from '@/parts/errors';
import { notifyDone } from '@/parts/notify';
import { Section } from '@/parts/section';
import { Trouble } from '@/parts/trouble';
import { useAsked } from '@/parts/use-asked';
import { useViewer } from '@/session/session';

const MODES = ['off', 'manual', 'automatic'] as const;
/** The values that decide when nodes sleep and wake; `share` ones are told in per cent. */
const VALUES = [
  { name: 'power.nodesMin', key: 'nodesMin', isShare: false, step: 1, max: 10_000 },
  { name: 'power.headroomKept', key: 'headroomKept', isShare: true, step: 1, max: 100 },
  { name: 'power.headroomLeast', key: 'headroomLeast', isShare: true, step: 1, max: 100 },
  { name: 'coldUtilisation', key: 'cold', isShare: true, step: 1, max: 100 },
  { name: 'targetUtilisation', key: 'target', isShare: true, step: 1, max: 100 },
  { name: 'hotUtilisation', key: 'hot', isShare: true, step: 1, max: 100 },
  { name: 'coldHoldSeconds', key: 'coldHold', isShare: false, step: 60, max: 1_000_000 },
  { name: 'coolDownSeconds', key: 'coolDown', isShare: false, step: 60, max: 1_000_000 },
  { name: 'movesPerHourPerNode', key: 'moves', isShare: false, step: 1, max: 10_000 },
] as const;

interface Draft {
  modes: Record<string, string>;
  /** As typed. */
  policy: Record<string, number | string>;
}
const NOTHING: Draft = { modes: {}, policy: {} };
const shown = (value: number, isShare: boolean) => (isShare ? Math.round(value * 10_000) / 100 : value);
const kept = (value: number, isShare: boolean) => (isShare ? Math.round(value * 100) / 10_000 : value);

/** What the planners go by. What was typed stays until it is taken; what contradicts itself the API says. */
export function PlannerPanel() {
  const t = useTranslations('planner');
  const tPlans = useTranslations('plans');
  const format = useFormatter();
  const viewer = useViewer();
  const { data, error, refresh } = useAsked({ query: PlannerQuery });
  const [{ fetching }, change] = useMutation(ChangePlannerMutation);
  const [draft, setDraft] = useState<Draft>(NOTHING);
  const [refusal, setRefusal] = useState<CombinedError | null>(null);
  const readAgain = () => {
    setRefusal(null);
    refresh();
  };
  const settings = data?.plannerSettings;
  if (!settings) {
    return (
      <Section title={t('title')}>
        <Awaited error={error} onRetry={readAgain} height={120} />
      </Section>
    );
  }
  const mayChange = viewer.role === 'supra-admin';
  const hasChanges = Object.keys(draft.modes).length + Object.keys(draft.policy).length > 0;
  const save = async () => {
    setRefusal(null);
    const policy = Object.entries(draft.policy).map(([name, typed]) => {
      const isShare = VALUES.find((each) => each.name === name)?.isShare ?? false;
      // An empty field is the default.
      return { name, value: typed === '' ? null : kept(Number(typed), isShare) };
    });
    const modes = Object.entries(draft.modes).map(([kind, mode]) => ({ kind, mode }));
    const answer = await change({ input: { generation: settings.generation, modes, policy } });
    if (answer.error) return setRefusal(answer.error);
    setDraft(NOTHING);
    notifyDone(t('saved'));
    refresh();
  };
  return (
    <Section title={t('title')}>
      <Stack gap="md">
        <Text size="sm" maw={820}>
          {t('what')}
        </Text>
        <SimpleGrid cols={{ base: 1, sm: 2, xl: 4 }}>
          {settings.modes.map(({ kind, mode }) => (
            <div key={kind}>
              <Text size="sm" fw={600} mb={4} id={`mode-${kind}`}>
                {tPlans.has(`kinds.${kind}`) ? tPlans(`kinds.${kind}`) : kind}
              </Text>
              <SegmentedControl
                aria-labelledby={`mode-${kind}`}
                size="xs"
                fullWidth
                disabled={!mayChange}
                data={MODES.map((value) => ({ value, label: t(`modes.${value}`) }))}
                value={draft.modes[kind] ?? mode}
                onChange={(value) =>
                  setDraft(({ modes, policy }) => ({ policy, modes: { ...modes, [kind]: value } }))
                }
              />
            </div>
          ))}
        </SimpleGrid>
        <SimpleGrid cols={{ base: 1, xs: 2, lg: 3 }}>
          {VALUES.map(({ name, key, isShare, step, max }) => {
            const known = settings.policy.find((each) => each.name === name);
            if (!known) return null;
            return (
              <NumberInput
                key={name}
                label={t(`values.${key}`)}
                description={t(known.isDefault ? 'isDefault' : 'isSet')}
                value={draft.policy[name] ?? shown(known.value, isShare)}
                onChange={(value) =>
                  setDraft(({ modes, policy }) => ({ modes, policy: { ...policy, [name]: value } }))
                }
                min={0}
                max={max}
                step={step}
                suffix={isShare ? ' %' : undefined}
                readOnly={!mayChange}
              />
            );
          })}
        </SimpleGrid>
        {settings.windows.length > 0 && (
          <div>
            <Text size="sm" fw={600}>
              {t('hours')}
            </Text>
            <List size="sm">
              {settings.windows.map((window) => (
                <List.Item key={JSON.stringify(window)}>
                  {t(`effects.${window.effect}`, {
                    kinds: window.kinds
                      .map((kind) => (tPlans.has(`kinds.${kind}`) ? tPlans(`kinds.${kind}`) : kind))
                      .join(', '),
                    from: window.from,
                    to: window.to,
                    zone: window.timeZone,
                    days: window.days.map((day) => t(`days.${day}`)).join(', '),
                  })}
                </List.Item>
              ))}
            </List>
          </div>
        )}
        {refusal && (
          <Trouble
            error={refusal}
            onRetry={errorCode(refusal) === 'StaleGeneration' ? readAgain : undefined}
          />
        )}
        <Group justify="space-between">
          <Text size="xs" c="dimmed">
            {settings.updatedAt &&
              t('changed', {
                by: settings.updatedBy ?? '',
                at: format.dateTime(new Date(settings.updatedAt), {
                  dateStyle: 'medium',
                  timeStyle: 'short',
                }),
              })}
          </Text>
          {mayChange && (
            <Group>
              <Button
                variant="default"
                disabled={!hasChanges}
                onClick={() => {
                  setDraft(NOTHING);
                  setRefusal(null);
                }}
              >
                {t('discard')}
              </Button>
              <Button onClick={save} loading={fetching} disabled={!hasChanges}>
                {t('save')}
              </Button>
            </Group>
          )}
        </Group>
      </Stack>
    </Section>
  );
}
