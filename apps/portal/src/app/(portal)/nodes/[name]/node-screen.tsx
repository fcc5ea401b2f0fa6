'use client';
import { Anchor, Breadcrumbs, Group, List, Stack, Text, Title } from '@mantine/core';
import Link from 'next/link';
import { useFormatter, useTranslations } from 'next-intl';
import type { ReactNode } from 'react';
import { NodeQuery } from '@/graphql/cluster';
import { NodePowerQuery, NodeRulesQuery } from '@/graphql/node';
import { useAmounts } from '@/parts/amounts';
import { Awaited } from '@/parts/awaited';
import { Empty } from '@/parts/empty';
import { DrvmLink } from '@/parts/links';
import { Heads } from '@/parts/list-table';
import { LiveBadge } from '@/parts/live-badge';
import { LoanNote } from '@/parts/loan-note';
import { MetricMeters } from '@/parts/metric-meters';
import { Section } from '@/parts/section';
import { StateBadge } from '@/parts/state-badge';
import { Table } from '@/parts/table';
import { Tag } from '@/parts/tag';
import { useAsked } from '@/parts/use-asked';
import { useLiveCluster } from '@/parts/use-live-cluster';
import { useMoment } from '@/parts/use-moment';
import { seesPower, useViewer } from '@/session/session';
import { NodeActions } from './node-actions';

const REFRESH_MS = 3_000;

export function NodeScreen({ name }: { name: string }) {
  const t = useTranslations('node');
  const tCluster = useTranslations('cluster');
  const format = useFormatter();
  const { amount, bytes } = useAmounts();
  const moment = useMoment();
  const { data, error, refresh } = useAsked({ query: NodeQuery, variables: { name } });
  const { nodes, updatedAt } = useLiveCluster();
  const viewer = useViewer();
  const maySeePower = seesPower(viewer.role);
  const powered = useAsked(
    { query: NodePowerQuery, variables: { node: name }, pause: !maySeePower },
    REFRESH_MS,
  );
  const ruled = useAsked({ query: NodeRulesQuery, variables: { node: name } }, REFRESH_MS);

  if (!data) return <Awaited error={error} onRetry={refresh} height={320} />;
  if (!data.node)
    return <Empty title={t('none', { name })} hint={t('noneHint')} href="/" action={t('toCluster')} />;
  const detail = data.node;
  const node = nodes?.find((each) => each.id === detail.id) ?? detail;
  const power = powered.data?.nodePower ?? null;
  const rules = ruled.data?.nodeRules ?? null;
  const watts = (value: number) => `${format.number(value, { maximumFractionDigits: 1 })} W`;

  return (
    <Stack gap="lg">
      <Breadcrumbs>
        <Anchor component={Link} href="/">
          {tCluster('title')}
        </Anchor>
        <Text>{name}</Text>
      </Breadcrumbs>
      <Group justify="space-between">
        <Group gap="sm">
          <Title order={1} fz={26}>
            {name}
          </Title>
          <StateBadge state={node.state} size="md" />
        </Group>
        <Group>
          <LiveBadge updatedAt={updatedAt} />
          {viewer.role === 'supra-admin' && (
            <NodeActions
              name={name}
              state={node.state}
              power={power?.state ?? null}
              hasDriver={power !== null && power.driver !== 'none'}
            />
          )}
        </Group>
      </Group>
      <MetricMeters capacity={node.capacity} allocated={node.allocated} used={node.used} />
      <Section title={t('slices')}>
        {node.slices.length === 0 ? (
          <Text c="dimmed" size="sm">
            {t('noSlices')}
          </Text>
        ) : (
          <Table>
            <Heads
              of={[
                t('drvm'),
                t('department'),
                tCluster('metrics.cpu'),
                tCluster('metrics.memoryMiB'),
                tCluster('metrics.diskGiB'),
                t('processes'),
                t('isolation'),
              ]}
            />
            <tbody>
              {node.slices.map((slice) => (
                <tr key={slice.id}>
                  <td>
                    <DrvmLink name={slice.drvm} id={slice.drvmId} />
                  </td>
                  <td>{slice.tenant}</td>
                  <td className="numeric">
                    {amount('cpu', slice.cpu)}
                    <LoanNote slice={slice} />
                  </td>
                  <td className="numeric">{amount('memoryMiB', slice.memoryMiB)}</td>
                  <td className="numeric">{amount('diskGiB', slice.diskGiB)}</td>
                  <td className="numeric">{slice.processes}</td>
                  <td>
                    <Text size="xs">{slice.isolation}</Text>
                  </td>
                </tr>
              ))}
            </tbody>
          </Table>
        )}
      </Section>
      {maySeePower && (
        <Section title={t('power')}>
          {!power ? (
            <Awaited error={powered.error} onRetry={powered.refresh} height={80} />
          ) : (
            <Table isFacts>
              <tbody>
                <Row
                  name={t('state')}
                  value={
                    <Group gap="xs">
                      <StateBadge state={power.state} />
                      <Text size="sm">{power.reason}</Text>
                    </Group>
                  }
                />
                <Row
                  name={t('draw')}
                  value={t('drawWords', {
                    watts: watts(power.watts),
                    idle: watts(power.idleWatts),
                    full: watts(power.fullWatts),
                    source: t(`sources.${power.source}`),
                  })}
                />
                <Row name={t('driver')} value={power.driver === 'none' ? t('noDriver') : power.driver} />
                <Row name={t('automatic')} value={t(power.automatic ? 'automaticYes' : 'automaticNo')} />
              </tbody>
            </Table>
          )}
        </Section>
      )}
      {rules && (
        <Section title={t('rules')}>
          <Table isFacts>
            <tbody>
              <Row
                name={t('place')}
                value={
                  rules.site || rules.rack
                    ? [rules.site, rules.rack].filter(Boolean).join(' / ')
                    : t('noPlace')
                }
              />
              <Row
                name={t('taints')}
                value={<Tags words={rules.taints} color="orange" none={t('noTaints')} />}
              />
              <Row
                name={t('traits')}
                value={<Tags words={[...rules.set, ...rules.found]} color="blue" none={t('noLabels')} />}
              />
              <Row
                name={t('burnIn')}
                value={
                  <Stack gap={4} align="flex-start">
                    <Group gap="xs">
                      <StateBadge state={rules.probation} />
                      {rules.checkedAt && (
                        <Text size="xs" c="dimmed">
                          {moment(rules.checkedAt)}
                        </Text>
                      )}
                    </Group>
                    {rules.checks.length > 0 && (
                      <details>
                        <summary>{t('checks', { count: rules.checks.length })}</summary>
                        <List size="sm" mt={4}>
                          {rules.checks.map((check) => (
                            <List.Item key={check.name}>
                              <b>{check.name}</b>: {t(check.passed ? 'passed' : 'notPassed')} · {check.detail}
                            </List.Item>
                          ))}
                        </List>
                      </details>
                    )}
                  </Stack>
                }
              />
            </tbody>
          </Table>
        </Section>
      )}
      <Section title={t('about')}>
        <Table isFacts>
          <tbody>
            <Row name={t('agent')} value={detail.agentVersion} />
            <Row
              name={t('lastSeen')}
              value={
                node.lastSeenAt
                  ? format.dateTime(new Date(node.lastSeenAt), { dateStyle: 'medium', timeStyle: 'medium' })
                  : t('never')
              }
            />
            <Row name={t('isolation')} value={detail.isolation} />
            <Row
              name={t('labels')}
              value={detail.labels.map(({ key, value }) => `${key}=${value}`).join(', ') || t('noLabels')}
            />
          </tbody>
        </Table>
      </Section>
      {detail.interfaces.length > 0 && (
        <Section title={t('interfaces')}>
          <Table>
            <Heads of={[t('name'), t('addresses'), t('speed'), t('state')]} />
            <tbody>
              {detail.interfaces.map((each) => (
                <tr key={each.name}>
                  <td>{each.name}</td>
                  <td>{each.addresses.join(', ')}</td>
                  <td className="numeric">{each.speedMbps ? `${each.speedMbps} Mbit/s` : '–'}</td>
                  <td>{each.state}</td>
                </tr>
              ))}
            </tbody>
          </Table>
        </Section>
      )}
      {detail.devices.length > 0 && (
        <Section title={t('devices')}>
          <Table>
            <Heads of={[t('name'), t('kind'), t('size'), t('traits')]} />
            <tbody>
              {detail.devices.map((device) => (
                <tr key={device.id}>
                  <td>{device.name}</td>
                  <td>{device.kind}</td>
                  <td className="numeric">{device.sizeBytes ? bytes(device.sizeBytes) : '–'}</td>
                  <td>{device.traits.join(', ')}</td>
                </tr>
              ))}
            </tbody>
          </Table>
        </Section>
      )}
    </Stack>
  );
}

function Tags({ words, color, none }: { words: string[]; color: string; none: string }) {
  if (words.length === 0) return none;
  return (
    <Group gap={6}>
      {words.map((word) => (
        <Tag key={word} color={color}>
          {word}
        </Tag>
      ))}
    </Group>
  );
}

function Row({ name, value }: { name: string; value: ReactNode }) {
  return (
    <tr>
      <th scope="row">{name}</th>
      <td>{value}</td>
    </tr>
  );
}
