'use client';
import { Anchor, Paper, Table, Text, VisuallyHidden } from '@mantine/core';
import Link from 'next/link';
import { useTranslations } from 'next-intl';
import type { CSSProperties } from 'react';
import type { ClusterFieldsFragment } from '@/gen/graphql';
import { type Metric, share, useAmounts } from '@/parts/amounts';
import { LoanNote } from '@/parts/loan-note';
import { Meter } from '@/parts/meter';
import { StateBadge } from '@/parts/state-badge';
import classes from './cluster-map.module.css';

type Slice = ClusterFieldsFragment['slices'][number];

/** Measured use of a slice; disk is not measured slice by slice. */
const usedOf = (slice: Slice, metric: Metric): number =>
  metric === 'cpu' ? slice.usedCpu : metric === 'memoryMiB' ? slice.usedMemoryMiB : 0;

/**
 * The signature of DRVS: nodes down, DRVMs across; a DRVM is a column that crosses many nodes, a node a row that
 * serves many DRVMs. A real table, so that it reads aloud row by row.
 */
export function ClusterMap({ nodes, metric }: { nodes: ClusterFieldsFragment[]; metric: Metric }) {
  const t = useTranslations('cluster');
  const { amount } = useAmounts();
  const drvms = new Map<string, { id: string; name: string; tenant: string }>();
  for (const node of nodes) {
    for (const { drvmId, drvm, tenant } of node.slices) drvms.set(drvmId, { id: drvmId, name: drvm, tenant });
  }
  const columns = [...drvms.values()].sort((a, b) =>
    a.name.localeCompare(b.name, undefined, { numeric: true }),
  );

  return (
    <Paper
      className="card"
      radius="md"
      style={{ overflow: 'auto' }}
      tabIndex={0}
      role="region"
      aria-label={t('map')}
    >
      <Table className={classes.map} verticalSpacing="sm" horizontalSpacing="md" stickyHeader>
        <Table.Caption style={{ captionSide: 'bottom', textAlign: 'left', padding: '8px 16px' }}>
          {t('legend')}
        </Table.Caption>
        <Table.Thead>
          <Table.Tr>
            <Table.Th scope="col" className={classes.corner}>
              {t('node')}
            </Table.Th>
            <Table.Th scope="col" miw={210}>
              {t('wholeNode')}
            </Table.Th>
            {columns.map(({ id, name, tenant }) => (
              <Table.Th key={id} scope="col" miw={150}>
                <Anchor component={Link} href={`/drvms/${encodeURIComponent(name)}?id=${id}`} fw={600}>
                  {name}
                </Anchor>
                <Text size="xs" c="dimmed">
                  {tenant}
                </Text>
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {nodes.map((node) => {
            const isDark = node.state !== 'up';
            return (
              <Table.Tr key={node.id} className={isDark ? 'hatched' : undefined}>
                <Table.Th scope="row" className={classes.corner}>
                  <Anchor component={Link} href={`/nodes/${encodeURIComponent(node.name)}`} fw={600}>
                    {node.name}
                  </Anchor>
                  <div>
                    <StateBadge state={node.state} size="xs" />
                  </div>
                </Table.Th>
                <Table.Td>
                  {isDark ? (
                    <Text size="sm" c="dimmed">
                      {t('noMeasure')}
                    </Text>
                  ) : (
                    <Meter
                      metric={metric}
                      label={t('usedAllocatedTotal')}
                      capacity={node.capacity[metric]}
                      allocated={node.allocated[metric]}
                      used={node.used[metric]}
                    />
                  )}
                </Table.Td>
                {columns.map(({ id, name }) => {
                  const slice = node.slices.find((each) => each.drvmId === id);
                  if (!slice) {
                    return (
                      <Table.Td key={id}>
                        <Text size="sm" c="dimmed" aria-label={t('nothingHere')}>
                          ·
                        </Text>
                      </Table.Td>
                    );
                  }
                  const used = usedOf(slice, metric);
                  return (
                    <Table.Td key={id}>
                      <Link
                        href={`/drvms/${encodeURIComponent(name)}?id=${id}`}
                        className={classes.cell}
                        data-state={slice.state}
                        style={{ '--heat': isDark ? 0 : share(used, slice[metric]) } as CSSProperties}
                      >
                        <VisuallyHidden>{t('cell', { drvm: name, node: node.name })} </VisuallyHidden>
                        <span className={classes.amount}>{amount(metric, slice[metric])}</span>
                        <span className={classes.detail}>
                          {metric === 'diskGiB' ? '' : `${t('inUse', { used: amount(metric, used) })} · `}
                          {t('processes', { count: slice.processes })}
                        </span>
                        {metric === 'cpu' && <LoanNote slice={slice} color="inherit" />}
                        {slice.state !== 'running' && <StateBadge state={slice.state} size="xs" />}
                      </Link>
                    </Table.Td>
                  );
                })}
              </Table.Tr>
            );
          })}
        </Table.Tbody>
      </Table>
    </Paper>
  );
}
