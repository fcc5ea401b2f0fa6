'use client';
import { Button, Group, Stack, Tabs, Text } from '@mantine/core';
import { IconBell, IconBellOff } from '@tabler/icons-react';
import { useFormatter, useNow, useTranslations } from 'next-intl';
import { useMutation } from 'urql';
import type { AlertsQuery as Alerts } from '@/gen/graphql';
import { AlertsQuery, SilenceAlertMutation } from '@/graphql/alerts';
import { Awaited } from '@/parts/awaited';
import { Empty } from '@/parts/empty';
import { ListTable } from '@/parts/list-table';
import { Menu, MenuItem } from '@/parts/menu';
import { notifyDone, notifyFailure } from '@/parts/notify';
import { ScreenHead } from '@/parts/screen-head';
import { SubjectLink } from '@/parts/subject-link';
import { Tag } from '@/parts/tag';
import { Trouble } from '@/parts/trouble';
import { useAddress } from '@/parts/use-address';
import { useAsked } from '@/parts/use-asked';
import { useMoment } from '@/parts/use-moment';
import { mayManageDrvms, useViewer } from '@/session/session';

const STATES = ['firing', 'pending', 'resolved'] as const;
const SHOWN = 100;
const REFRESH_MS = 3_000;
const SILENCES = [
  { key: 'hour', seconds: 3_600 },
  { key: 'day', seconds: 86_400 },
  { key: 'week', seconds: 7 * 86_400 },
] as const;
const COLORS: Record<string, string> = { critical: 'red', warning: 'orange', info: 'blue' };
type Alert = Alerts['alerts']['nodes'][number];

/** What is wrong now, what may become so, and what was; whoever knows of it already may have it kept quiet. */
export function AlertsScreen() {
  const t = useTranslations('alerts');
  const { chosen, choose } = useAddress();
  const state = chosen('state', STATES);
  const { data, error, refresh } = useAsked(
    { query: AlertsQuery, variables: { first: SHOWN, state } },
    REFRESH_MS,
  );
  const alerts = data?.alerts.nodes ?? null;
  return (
    <Stack gap="lg">
      <ScreenHead title={t('title')} what={t('what')} />
      <Tabs value={state} onChange={(value) => choose({ state: value === STATES[0] ? null : value })}>
        <Tabs.List aria-label={t('state')}>
          {STATES.map((each) => (
            <Tabs.Tab key={each} value={each}>
              {t(`states.${each}`)}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {STATES.map((each) => (
          <Tabs.Panel key={each} value={each} pt="md">
            {each === state && (
              <>
                {error && alerts && <Trouble error={error} onRetry={refresh} />}
                {alerts === null ? (
                  <Awaited error={error} onRetry={refresh} height={160} />
                ) : alerts.length === 0 ? (
                  <Empty title={t(`none.${state}`)} hint={t('noneHint')} />
                ) : (
                  <AlertTable alerts={alerts} onChanged={refresh} />
                )}
                {data?.alerts.pageInfo.hasNextPage && (
                  <Text size="sm" c="dimmed" mt="xs">
                    {t('more', { shown: SHOWN })}
                  </Text>
                )}
              </>
            )}
          </Tabs.Panel>
        ))}
      </Tabs>
    </Stack>
  );
}

function AlertTable({ alerts, onChanged }: { alerts: Alert[]; onChanged: () => void }) {
  const t = useTranslations('alerts');
  const format = useFormatter();
  const moment = useMoment();
  const now = useNow({ updateInterval: 10_000 });
  const viewer = useViewer();
  const [, silence] = useMutation(SilenceAlertMutation);
  const maySilence = mayManageDrvms(viewer.role);
  const set = async ({ id, rule, subject }: Alert, seconds: number) => {
    const answer = await silence({ id, seconds });
    const what = `${rule} · ${subject}`;
    if (answer.error) notifyFailure(t('silenceFailed'), answer.error);
    else notifyDone(t(seconds === 0 ? 'heardAgain' : 'silenced', { what }));
    onChanged();
  };
  const number = (value: number) => format.number(value, { maximumFractionDigits: 2 });
  return (
    <ListTable
      label={t('title')}
      minWidth={760}
      heads={[
        t('severity'),
        t('rule'),
        t('subject'),
        t('value'),
        t('since'),
        maySilence ? t('actions') : null,
      ]}
    >
      {alerts.map((alert) => {
        const isSilent = alert.silencedUntil && new Date(alert.silencedUntil) > now;
        return (
          <tr key={alert.id}>
            <td>
              <Tag color={COLORS[alert.severity] ?? 'gray'} size="sm">
                {t.has(`severities.${alert.severity}`) ? t(`severities.${alert.severity}`) : alert.severity}
              </Tag>
            </td>
            <td>
              <Text size="sm" fw={600}>
                {alert.rule}
              </Text>
              <Text size="xs" c="dimmed">
                {metricWords(t, alert.metric)}
              </Text>
            </td>
            <td>
              <SubjectLink subject={alert.subject} />
              {alert.tenant && (
                <Text size="xs" c="dimmed">
                  {alert.tenant}
                </Text>
              )}
            </td>
            <td className="numeric">
              {t('ofThreshold', {
                value: alert.value === null || alert.value === undefined ? '–' : number(alert.value),
                threshold: number(alert.threshold),
              })}
            </td>
            <td className="numeric">
              {moment(alert.firedAt ?? alert.since)}
              {alert.resolvedAt && (
                <Text size="xs" c="dimmed">
                  {t('until', { at: moment(alert.resolvedAt) })}
                </Text>
              )}
            </td>
            {maySilence && (
              <td>
                {alert.state === 'resolved' ? null : isSilent && alert.silencedUntil ? (
                  <Group gap="xs" wrap="nowrap">
                    <Text size="xs">{t('silentUntil', { at: moment(alert.silencedUntil) })}</Text>
                    <Button
                      size="compact-xs"
                      variant="light"
                      leftSection={<IconBell size={14} aria-hidden />}
                      onClick={() => set(alert, 0)}
                      aria-label={t('hearThis', { what: `${alert.rule} · ${alert.subject}` })}
                    >
                      {t('hear')}
                    </Button>
                  </Group>
                ) : (
                  <Menu
                    label={t('silence')}
                    target={(props) => (
                      <Button
                        size="compact-xs"
                        variant="light"
                        leftSection={<IconBellOff size={14} aria-hidden />}
                        aria-label={t('silenceThis', { what: `${alert.rule} · ${alert.subject}` })}
                        {...props}
                      >
                        {t('silence')}
                      </Button>
                    )}
                  >
                    {SILENCES.map(({ key, seconds }) => (
                      <MenuItem key={key} onClick={() => set(alert, seconds)}>
                        {t(`silences.${key}`)}
                      </MenuItem>
                    ))}
                  </Menu>
                )}
              </td>
            )}
          </tr>
        );
      })}
    </ListTable>
  );
}

/** Metrics are named with a dot, which parts the levels of messages. */
function metricWords(t: ReturnType<typeof useTranslations<'alerts'>>, metric: string): string {
  return t.has(`metrics.${metric}`) ? t(`metrics.${metric}`) : metric;
}
