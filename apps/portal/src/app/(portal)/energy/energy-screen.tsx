'use client';
import {
  Alert,
  Anchor,
  Button,
  List,
  Paper,
  SimpleGrid,
  Skeleton,
  Stack,
  Table,
  Text,
  Title,
} from '@mantine/core';
import { IconRoute } from '@tabler/icons-react';
import Link from 'next/link';
import { useFormatter, useTranslations } from 'next-intl';
import { useCallback } from 'react';
import { useQuery } from 'urql';
import type { EnergyQuery as Energy } from '@/gen/graphql';
import { EnergyQuery, RecommendationsQuery } from '@/graphql/energy';
import { Section } from '@/parts/section';
import { StateBadge } from '@/parts/state-badge';
import { Trouble } from '@/parts/trouble';
import { useEnergyWords } from '@/parts/use-energy-words';
import { useRepeated } from '@/parts/use-repeated';
import { seesPower, useViewer } from '@/session/session';
import { PlannerPanel } from './planner-panel';

const REFRESH_MS = 5_000;
type Report = Energy['energy'];

/** What is drawn now, what was used and saved, for whom, and what would save more. */
export function EnergyScreen() {
  const t = useTranslations('energy');
  const { watts, kWh } = useEnergyWords();
  const viewer = useViewer();
  const [{ data, error }, ask] = useQuery({ query: EnergyQuery });
  const refresh = useCallback(() => ask({ requestPolicy: 'network-only' }), [ask]);
  useRepeated(refresh, REFRESH_MS);

  if (!data) return error ? <Trouble error={error} onRetry={refresh} /> : <Skeleton h={320} />;
  const { now, today, month, formula } = data.energy;
  return (
    <Stack gap="lg">
      <div>
        <Title order={1} fz={26}>
          {t('title')}
        </Title>
        <Text c="dimmed">{t('what')}</Text>
      </div>
      {error && <Trouble error={error} onRetry={refresh} />}
      <SimpleGrid cols={{ base: 1, xs: 2, lg: 4 }}>
        <Figure
          name={t('now')}
          value={watts(now.watts)}
          detail={t('nodesOn', { on: now.nodesOn, off: now.nodesOff })}
        />
        <Figure
          name={t('today')}
          value={kWh(today.kWh)}
          detail={t('measured', { share: Math.round(today.measured * 100) })}
        />
        <Figure
          name={t('month')}
          value={kWh(month.kWh)}
          detail={t('measured', { share: Math.round(month.measured * 100) })}
        />
        <Figure
          name={t('saved')}
          value={kWh(month.savedKWh)}
          detail={t('savedToday', { saved: kWh(today.savedKWh) })}
        />
      </SimpleGrid>
      <Text size="sm" maw={820}>
        {t('formula', {
          allOn: kWh(month.allOnKWh),
          used: kWh(month.kWh),
          saved: kWh(month.savedKWh),
        })}{' '}
        <Text span size="sm" c="dimmed" lang="en">
          {formula}
        </Text>
      </Text>
      {seesPower(viewer.role) && <Recommendations />}
      {seesPower(viewer.role) && <PlannerPanel />}
      <ByNode nodes={data.energy.nodes} />
      <ByDepartment report={data.energy} />
    </Stack>
  );
}

function Figure({ name, value, detail }: { name: string; value: string; detail: string }) {
  return (
    <Paper className="card" p="md" radius="md">
      <Text size="sm" c="dimmed">
        {name}
      </Text>
      <Text fz={24} fw={650} className="numeric">
        {value}
      </Text>
      <Text size="xs" c="dimmed" className="numeric">
        {detail}
      </Text>
    </Paper>
  );
}

/** Looked for when the screen is opened and when one asks again: it watches the cluster for a second. */
function Recommendations() {
  const t = useTranslations('energy');
  const { watts } = useEnergyWords();
  const [{ data, error, fetching }, ask] = useQuery({
    query: RecommendationsQuery,
    requestPolicy: 'cache-and-network',
  });
  const again = () => ask({ requestPolicy: 'network-only' });
  const found = data?.energyRecommendations;
  return (
    <Section
      title={t('recommendations')}
      aside={
        <Button size="xs" variant="default" onClick={again} loading={fetching}>
          {t('lookAgain')}
        </Button>
      }
    >
      {error && !found && <Trouble error={error} onRetry={again} />}
      {!found && !error && <Skeleton h={48} />}
      {found && (
        <Stack gap="sm" align="flex-start">
          <Text size="sm">{found.summary}</Text>
          {found.recommendations.length > 0 && (
            <>
              <List size="sm" spacing={4}>
                {found.recommendations.map((each) => (
                  <List.Item key={each.node}>
                    <b>{t('wouldSave', { node: each.node, watts: watts(each.savedWatts) })}</b>{' '}
                    {t('moves', { count: each.moves })} · {each.reason}
                  </List.Item>
                ))}
              </List>
              <Button
                component={Link}
                href="/plans?kind=consolidate"
                variant="light"
                leftSection={<IconRoute size={18} aria-hidden />}
              >
                {t('toPlan')}
              </Button>
            </>
          )}
          {found.rejected.length > 0 && (
            <details>
              <summary>{t('rejected', { count: found.rejected.length })}</summary>
              <List size="sm" mt="xs" spacing={4}>
                {found.rejected.map(({ what, reason }) => (
                  <List.Item key={`${what}: ${reason}`}>
                    <b>{what}</b>: {reason}
                  </List.Item>
                ))}
              </List>
            </details>
          )}
        </Stack>
      )}
    </Section>
  );
}

function ByNode({ nodes }: { nodes: Report['nodes'] }) {
  const t = useTranslations('energy');
  const tNode = useTranslations('node');
  const { watts, kWh } = useEnergyWords();
  if (nodes.length === 0) return null;
  const sorted = [...nodes].sort((a, b) => a.node.localeCompare(b.node, undefined, { numeric: true }));
  return (
    <Section title={t('byNode')}>
      <Table verticalSpacing="xs">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{t('node')}</Table.Th>
            <Table.Th>{t('power')}</Table.Th>
            <Table.Th>{t('now')}</Table.Th>
            <Table.Th>{t('today')}</Table.Th>
            <Table.Th>{t('month')}</Table.Th>
            <Table.Th>{t('saved')}</Table.Th>
            <Table.Th>{t('source')}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {sorted.map((each) => (
            <Table.Tr key={each.node} className={each.state === 'off' ? 'hatched' : undefined}>
              <Table.Th scope="row">
                <Anchor component={Link} href={`/nodes/${encodeURIComponent(each.node)}`}>
                  {each.node}
                </Anchor>
              </Table.Th>
              <Table.Td>
                <StateBadge state={each.state} size="xs" />
              </Table.Td>
              <Table.Td className="numeric">{watts(each.watts)}</Table.Td>
              <Table.Td className="numeric">{kWh(each.todayKWh)}</Table.Td>
              <Table.Td className="numeric">{kWh(each.monthKWh)}</Table.Td>
              <Table.Td className="numeric">{kWh(each.savedKWh)}</Table.Td>
              <Table.Td>{tNode(`sources.${each.source}`)}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Section>
  );
}

function ByDepartment({ report }: { report: Report }) {
  const t = useTranslations('energy');
  const { kWh } = useEnergyWords();
  const format = useFormatter();
  const viewer = useViewer();
  const total = report.tenants.reduce((sum, { monthKWh }) => sum + monthKWh, 0) + report.unallocatedKWh;
  const part = (value: number) =>
    total > 0 ? format.number(value / total, { style: 'percent', maximumFractionDigits: 1 }) : '–';
  const departments = [...report.tenants].sort((a, b) => a.tenant.localeCompare(b.tenant));
  const drvms = [...report.drvms].sort((a, b) =>
    `${a.tenant}/${a.drvm}`.localeCompare(`${b.tenant}/${b.drvm}`, undefined, { numeric: true }),
  );
  return (
    <Section title={t('byDepartment')}>
      {departments.length === 0 && drvms.length === 0 ? (
        <Alert color="gray">{t('nothingYet')}</Alert>
      ) : (
        <Table verticalSpacing="xs">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>{t('department')}</Table.Th>
              <Table.Th>DRVM</Table.Th>
              <Table.Th>{t('today')}</Table.Th>
              <Table.Th>{t('month')}</Table.Th>
              <Table.Th>{t('part')}</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {departments.flatMap((department) => [
              <Table.Tr key={department.tenant} fw={600}>
                <Table.Th scope="row">{department.tenant}</Table.Th>
                <Table.Td>{t('all')}</Table.Td>
                <Table.Td className="numeric">{kWh(department.todayKWh)}</Table.Td>
                <Table.Td className="numeric">{kWh(department.monthKWh)}</Table.Td>
                <Table.Td className="numeric">{part(department.monthKWh)}</Table.Td>
              </Table.Tr>,
              ...drvms
                .filter(({ tenant }) => tenant === department.tenant)
                .map((each) => (
                  <Table.Tr key={`${each.tenant}/${each.drvm}`}>
                    <Table.Td />
                    <Table.Td>{each.drvm}</Table.Td>
                    <Table.Td className="numeric">{kWh(each.todayKWh)}</Table.Td>
                    <Table.Td className="numeric">{kWh(each.monthKWh)}</Table.Td>
                    <Table.Td className="numeric">{part(each.monthKWh)}</Table.Td>
                  </Table.Tr>
                )),
            ])}
            {viewer.tenant === null && (
              <Table.Tr>
                <Table.Th scope="row">{t('unallocated')}</Table.Th>
                <Table.Td />
                <Table.Td>–</Table.Td>
                <Table.Td className="numeric">{kWh(report.unallocatedKWh)}</Table.Td>
                <Table.Td className="numeric">{part(report.unallocatedKWh)}</Table.Td>
              </Table.Tr>
            )}
          </Table.Tbody>
        </Table>
      )}
    </Section>
  );
}
