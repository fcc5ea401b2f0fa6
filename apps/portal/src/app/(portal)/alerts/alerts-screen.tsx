'use client';
import { Anchor, Button, Group, Menu, Skeleton, Stack, Table, Tabs, Text, Title } from '@mantine/core';
import { IconBell, IconBellOff } from '@tabler/icons-react';
import Link from 'next/link';
import { usePathname, useRouter, useSearchParams } from 'next/navigation';
import { useFormatter, useNow, useTranslations } from 'next-intl';
import { useCallback } from 'react';
import { useMutation, useQuery } from 'urql';
import type { AlertsQuery as Alerts } from '@/gen/graphql';
import { AlertsQuery, SilenceAlertMutation } from '@/graphql/alerts';
import { Empty } from '@/parts/empty';
import { notifyDone, notifyFailure } from '@/parts/notify';
import { ScrollBox } from '@/parts/scroll-box';
import { Tag } from '@/parts/tag';
import { Trouble } from '@/parts/trouble';
import { useRepeated } from '@/parts/use-repeated';
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
  const router = useRouter();
  const path = usePathname();
  const search = useSearchParams();
  const state = STATES.find((each) => each === search.get('state')) ?? 'firing';
  const [{ data, error }, ask] = useQuery({ query: AlertsQuery, variables: { first: SHOWN, state } });
  const refresh = useCallback(() => ask({ requestPolicy: 'network-only' }), [ask]);
  useRepeated(refresh, REFRESH_MS);
  const alerts = data?.alerts.nodes ?? null;
  return (
    <Stack gap="lg">
      <div>
        <Title order={1} fz={26}>
          {t('title')}
        </Title>
        <Text c="dimmed">{t('what')}</Text>
      </div>
      <Tabs
        value={state}
        onChange={(value) => router.replace(value === 'firing' ? path : `${path}?state=${value}`)}
      >
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
                {error && <Trouble error={error} onRetry={refresh} />}
                {alerts === null ? (
                  !error && <Skeleton h={160} />
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
  const time = (at: string) => format.dateTime(new Date(at), { dateStyle: 'short', timeStyle: 'medium' });
  return (
    <ScrollBox label={t('title')} isCard>
      <Table verticalSpacing="xs" horizontalSpacing="md" miw={760}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{t('severity')}</Table.Th>
            <Table.Th>{t('rule')}</Table.Th>
            <Table.Th>{t('subject')}</Table.Th>
            <Table.Th>{t('value')}</Table.Th>
            <Table.Th>{t('since')}</Table.Th>
            {maySilence && <Table.Th>{t('actions')}</Table.Th>}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {alerts.map((alert) => {
            const isSilent = alert.silencedUntil && new Date(alert.silencedUntil) > now;
            return (
              <Table.Tr key={alert.id}>
                <Table.Td>
                  <Tag color={COLORS[alert.severity] ?? 'gray'} size="sm">
                    {t.has(`severities.${alert.severity}`)
                      ? t(`severities.${alert.severity}`)
                      : alert.severity}
                  </Tag>
                </Table.Td>
                <Table.Td>
                  <Text size="sm" fw={600}>
                    {alert.rule}
                  </Text>
                  <Text size="xs" c="dimmed">
                    {metricWords(t, alert.metric)}
                  </Text>
                </Table.Td>
                <Table.Td>
                  <Subject alert={alert} />
                  {alert.tenant && (
                    <Text size="xs" c="dimmed">
                      {alert.tenant}
                    </Text>
                  )}
                </Table.Td>
                <Table.Td className="numeric">
                  {t('ofThreshold', {
                    value: alert.value === null || alert.value === undefined ? '–' : number(alert.value),
                    threshold: number(alert.threshold),
                  })}
                </Table.Td>
                <Table.Td className="numeric">
                  {time(alert.firedAt ?? alert.since)}
                  {alert.resolvedAt && (
                    <Text size="xs" c="dimmed">
                      {t('until', { at: time(alert.resolvedAt) })}
                    </Text>
                  )}
                </Table.Td>
                {maySilence && (
                  <Table.Td>
                    {alert.state === 'resolved' ? null : isSilent && alert.silencedUntil ? (
                      <Group gap="xs" wrap="nowrap">
                        <Text size="xs">{t('silentUntil', { at: time(alert.silencedUntil) })}</Text>
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
                      <Menu position="bottom-end" withinPortal>
                        <Menu.Target>
                          <Button
                            size="compact-xs"
                            variant="light"
                            leftSection={<IconBellOff size={14} aria-hidden />}
                            aria-label={t('silenceThis', { what: `${alert.rule} · ${alert.subject}` })}
                          >
                            {t('silence')}
                          </Button>
                        </Menu.Target>
                        <Menu.Dropdown>
                          {SILENCES.map(({ key, seconds }) => (
                            <Menu.Item key={key} onClick={() => set(alert, seconds)}>
                              {t(`silences.${key}`)}
                            </Menu.Item>
                          ))}
                        </Menu.Dropdown>
                      </Menu>
                    )}
                  </Table.Td>
                )}
              </Table.Tr>
            );
          })}
        </Table.Tbody>
      </Table>
    </ScrollBox>
  );
}

/** Metrics are named with a dot, which parts the levels of messages. */
function metricWords(t: ReturnType<typeof useTranslations<'alerts'>>, metric: string): string {
  return t.has(`metrics.${metric}`) ? t(`metrics.${metric}`) : metric;
}

/** What the alert is about, and the screen of it where there is one. */
function Subject({ alert: { subject } }: { alert: Alert }) {
  const [kind, ...names] = subject.split('/');
  const name = names.at(-1);
  const folder = kind === 'node' ? 'nodes' : kind === 'drvm' ? 'drvms' : null;
  if (!name || folder === null) return <Text size="sm">{subject}</Text>;
  return (
    <Anchor component={Link} size="sm" href={`/${folder}/${encodeURIComponent(name)}`}>
      {name}
    </Anchor>
  );
}
