'use client';
import { Alert, Button, List, Paper, SimpleGrid, Skeleton, Stack, Text } from '@mantine/core';
import { IconRoute } from '@tabler/icons-react';
import dynamic from 'next/dynamic';
import Link from 'next/link';
import { useFormatter, useTranslations } from 'next-intl';
import type { EnergyQuery as Energy } from '@/gen/graphql';
import { EnergyQuery, RecommendationsQuery } from '@/graphql/energy';
import { Awaited } from '@/parts/awaited';
import { byName } from '@/parts/by-name';
import { NodeLink } from '@/parts/links';
import { Heads } from '@/parts/list-table';
import { Rejected } from '@/parts/rejected';
import { ScreenHead } from '@/parts/screen-head';
import { Section } from '@/parts/section';
import { StateBadge } from '@/parts/state-badge';
import { Table } from '@/parts/table';
import { Trouble } from '@/parts/trouble';
import { useAsked } from '@/parts/use-asked';
import { useEnergyWords } from '@/parts/use-energy-words';
import { seesPower, useViewer } from '@/session/session';
import { KioskButton } from '@/shell/kiosk-button';

const REFRESH_MS = 5_000;
/** A form with many fields, below what one comes for. */
const PlannerPanel = dynamic(() => import('./planner-panel').then((loaded) => loaded.PlannerPanel), {
  ssr: false,
  loading: () => <Skeleton h={240} />,
});
type Report = Energy['energy'];

/** What is drawn now, what was used and saved, for whom, and what would save more. */
export function EnergyScreen() {
  const t = useTranslations('energy');
  const { watts, kWh } = useEnergyWords();
  const viewer = useViewer();
  const { data, error, refresh } = useAsked({ query: EnergyQuery }, REFRESH_MS);

  if (!data) return <Awaited error={error} onRetry={refresh} height={320} />;
  const { now, today, month, formula } = data.energy;
  return (
    <Stack gap="lg">
      <ScreenHead title={t('title')} what={t('what')}>
        <KioskButton />
      </ScreenHead>
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
  const { data, error, fetching, refresh } = useAsked({ query: RecommendationsQuery });
  const found = data?.energyRecommendations;
  return (
    <Section
      title={t('recommendations')}
      aside={
        <Button size="xs" variant="default" onClick={refresh} loading={fetching}>
          {t('lookAgain')}
        </Button>
      }
    >
      {!found && <Awaited error={error} onRetry={refresh} height={48} />}
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
          <Rejected title={t('rejected', { count: found.rejected.length })} of={found.rejected} />
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
  const sorted = [...nodes].sort((a, b) => byName(a.node, b.node));
  return (
    <Section title={t('byNode')}>
      <Table>
        <Heads of={[t('node'), t('power'), t('now'), t('today'), t('month'), t('saved'), t('source')]} />
        <tbody>
          {sorted.map((each) => (
            <tr key={each.node} className={each.state === 'off' ? 'hatched' : undefined}>
              <th scope="row">
                <NodeLink name={each.node} />
              </th>
              <td>
                <StateBadge state={each.state} size="xs" />
              </td>
              <td className="numeric">{watts(each.watts)}</td>
              <td className="numeric">{kWh(each.todayKWh)}</td>
              <td className="numeric">{kWh(each.monthKWh)}</td>
              <td className="numeric">{kWh(each.savedKWh)}</td>
              <td>{tNode(`sources.${each.source}`)}</td>
            </tr>
          ))}
        </tbody>
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
  const departments = [...report.tenants].sort((a, b) => byName(a.tenant, b.tenant));
  const drvms = [...report.drvms].sort((a, b) => byName(`${a.tenant}/${a.drvm}`, `${b.tenant}/${b.drvm}`));
  return (
    <Section title={t('byDepartment')}>
      {departments.length === 0 && drvms.length === 0 ? (
        <Alert color="gray">{t('nothingYet')}</Alert>
      ) : (
        <Table>
          <Heads of={[t('department'), 'DRVM', t('today'), t('month'), t('part')]} />
          <tbody>
            {departments.flatMap((department) => [
              <tr key={department.tenant} style={{ fontWeight: 600 }}>
                <th scope="row">{department.tenant}</th>
                <td>{t('all')}</td>
                <td className="numeric">{kWh(department.todayKWh)}</td>
                <td className="numeric">{kWh(department.monthKWh)}</td>
                <td className="numeric">{part(department.monthKWh)}</td>
              </tr>,
              ...drvms
                .filter(({ tenant }) => tenant === department.tenant)
                .map((each) => (
                  <tr key={`${each.tenant}/${each.drvm}`}>
                    <td />
                    <td>{each.drvm}</td>
                    <td className="numeric">{kWh(each.todayKWh)}</td>
                    <td className="numeric">{kWh(each.monthKWh)}</td>
                    <td className="numeric">{part(each.monthKWh)}</td>
                  </tr>
                )),
            ])}
            {viewer.tenant === null && (
              <tr>
                <th scope="row">{t('unallocated')}</th>
                <td />
                <td>–</td>
                <td className="numeric">{kWh(report.unallocatedKWh)}</td>
                <td className="numeric">{part(report.unallocatedKWh)}</td>
              </tr>
            )}
          </tbody>
        </Table>
      )}
    </Section>
  );
}
