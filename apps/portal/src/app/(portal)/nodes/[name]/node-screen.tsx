'use client';
import {
  Anchor,
  Breadcrumbs,
  Group,
  List,
  Paper,
  SimpleGrid,
  Skeleton,
  Stack,
  Table,
  Text,
  Title,
} from '@mantine/core';
import Link from 'next/link';
import { useFormatter, useTranslations } from 'next-intl';
import { type ReactNode, useCallback } from 'react';
import { useQuery } from 'urql';
import { NodeQuery } from '@/graphql/cluster';
import { NodePowerQuery, NodeRulesQuery } from '@/graphql/node';
import { METRICS, useAmounts } from '@/parts/amounts';
import { Empty } from '@/parts/empty';
import { LiveBadge } from '@/parts/live-badge';
import { LoanNote } from '@/parts/loan-note';
import { Meter } from '@/parts/meter';
import { Section } from '@/parts/section';
import { StateBadge } from '@/parts/state-badge';
import { Tag } from '@/parts/tag';
import { Trouble } from '@/parts/trouble';
import { useLiveCluster } from '@/parts/use-live-cluster';
import { useRepeated } from '@/parts/use-repeated';
import { seesPower, useViewer } from '@/session/session';
import { NodeActions } from './node-actions';

const REFRESH_MS = 3_000;

export function NodeScreen({ name }: { name: string }) {
  const t = useTranslations('node');
  const tCluster = useTranslations('cluster');
  const format = useFormatter();
  const { amount, bytes } = useAmounts();
  const [{ data, error }, again] = useQuery({ query: NodeQuery, variables: { name } });
  const { nodes, updatedAt } = useLiveCluster();
  const viewer = useViewer();
  const maySeePower = seesPower(viewer.role);
  const [{ data: powered, error: powerError }, powerAgain] = useQuery({
    query: NodePowerQuery,
    variables: { node: name },
    pause: !maySeePower,
  });
  const [{ data: ruled }, rulesAgain] = useQuery({ query: NodeRulesQuery, variables: { node: name } });
  const refresh = useCallback(() => {
    if (maySeePower) powerAgain({ requestPolicy: 'network-only' });
    rulesAgain({ requestPolicy: 'network-only' });
  }, [maySeePower, powerAgain, rulesAgain]);
  useRepeated(refresh, REFRESH_MS);

  if (!data) return error ? <Trouble error={error} onRetry={() => again()} /> : <Skeleton h={320} />;
  if (!data.node)
    return <Empty title={t('none', { name })} hint={t('noneHint')} href="/" action={t('toCluster')} />;
  const detail = data.node;
  const node = nodes?.find((each) => each.id === detail.id) ?? detail;
  const power = powered?.nodePower ?? null;
  const rules = ruled?.nodeRules ?? null;
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
      <SimpleGrid cols={{ base: 1, sm: 3 }}>
        {METRICS.map((metric) => (
          <Paper key={metric} className="card" p="md" radius="md">
            <Text fw={600} size="sm" mb={6}>
              {tCluster(`metrics.${metric}`)}
            </Text>
            <Meter
              metric={metric}
              label={tCluster('usedAllocatedTotal')}
              capacity={node.capacity[metric]}
              allocated={node.allocated[metric]}
              used={node.used[metric]}
            />
          </Paper>
        ))}
      </SimpleGrid>
      <Section title={t('slices')}>
        {node.slices.length === 0 ? (
          <Text c="dimmed" size="sm">
            {t('noSlices')}
          </Text>
        ) : (
          <Table>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t('drvm')}</Table.Th>
                <Table.Th>{t('department')}</Table.Th>
                <Table.Th>{tCluster('metrics.cpu')}</Table.Th>
                <Table.Th>{tCluster('metrics.memoryMiB')}</Table.Th>
                <Table.Th>{tCluster('metrics.diskGiB')}</Table.Th>
                <Table.Th>{t('processes')}</Table.Th>
                <Table.Th>{t('isolation')}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {node.slices.map((slice) => (
                <Table.Tr key={slice.id}>
                  <Table.Td>
                    <Anchor
                      component={Link}
                      href={`/drvms/${encodeURIComponent(slice.drvm)}?id=${slice.drvmId}`}
                    >
                      {slice.drvm}
                    </Anchor>
                  </Table.Td>
                  <Table.Td>{slice.tenant}</Table.Td>
                  <Table.Td className="numeric">
                    {amount('cpu', slice.cpu)}
                    <LoanNote slice={slice} />
                  </Table.Td>
                  <Table.Td className="numeric">{amount('memoryMiB', slice.memoryMiB)}</Table.Td>
                  <Table.Td className="numeric">{amount('diskGiB', slice.diskGiB)}</Table.Td>
                  <Table.Td className="numeric">{slice.processes}</Table.Td>
                  <Table.Td>
                    <Text size="xs">{slice.isolation}</Text>
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        )}
      </Section>
      {maySeePower && (
        <Section title={t('power')}>
          {powerError && !power ? (
            <Trouble error={powerError} onRetry={refresh} />
          ) : !power ? (
            <Skeleton h={80} />
          ) : (
            <Table variant="vertical" layout="fixed">
              <Table.Tbody>
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
              </Table.Tbody>
            </Table>
          )}
        </Section>
      )}
      {rules && (
        <Section title={t('rules')}>
          <Table variant="vertical" layout="fixed">
            <Table.Tbody>
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
                          {format.dateTime(new Date(rules.checkedAt), {
                            dateStyle: 'short',
                            timeStyle: 'medium',
                          })}
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
            </Table.Tbody>
          </Table>
        </Section>
      )}
      <Section title={t('about')}>
        <Table variant="vertical" layout="fixed">
          <Table.Tbody>
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
          </Table.Tbody>
        </Table>
      </Section>
      {detail.interfaces.length > 0 && (
        <Section title={t('interfaces')}>
          <Table>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t('name')}</Table.Th>
                <Table.Th>{t('addresses')}</Table.Th>
                <Table.Th>{t('speed')}</Table.Th>
                <Table.Th>{t('state')}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {detail.interfaces.map((each) => (
                <Table.Tr key={each.name}>
                  <Table.Td>{each.name}</Table.Td>
                  <Table.Td className="numeric">{each.addresses.join(', ')}</Table.Td>
                  <Table.Td className="numeric">{each.speedMbps ? `${each.speedMbps} Mbit/s` : '–'}</Table.Td>
                  <Table.Td>{each.state}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Section>
      )}
      {detail.devices.length > 0 && (
        <Section title={t('devices')}>
          <Table>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t('name')}</Table.Th>
                <Table.Th>{t('kind')}</Table.Th>
                <Table.Th>{t('size')}</Table.Th>
                <Table.Th>{t('traits')}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {detail.devices.map((device) => (
                <Table.Tr key={device.id}>
                  <Table.Td>{device.name}</Table.Td>
                  <Table.Td>{device.kind}</Table.Td>
                  <Table.Td className="numeric">{device.sizeBytes ? bytes(device.sizeBytes) : '–'}</Table.Td>
                  <Table.Td>{device.traits.join(', ')}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
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
    <Table.Tr>
      <Table.Th w={180} scope="row">
        {name}
      </Table.Th>
      <Table.Td>{value}</Table.Td>
    </Table.Tr>
  );
}
