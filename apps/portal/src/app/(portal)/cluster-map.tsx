'use client';
import { Paper, Text, VisuallyHidden } from '@mantine/core';
import Link from 'next/link';
import { useTranslations } from 'next-intl';
import type { CSSProperties } from 'react';
import type { ClusterFieldsFragment } from '@/gen/graphql';
import { type Metric, share, useAmounts } from '@/parts/amounts';
import { DrvmLink, drvmHref, NodeLink } from '@/parts/links';
import { LoanNote } from '@/parts/loan-note';
import { Meter } from '@/parts/meter';
import { StateBadge } from '@/parts/state-badge';
import { Table } from '@/parts/table';
import classes from './cluster-map.module.css';
import { drvmsOf } from './drvms-of';

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
  const columns = drvmsOf(nodes);

  return (
    <Paper
      className="card"
      radius="md"
      style={{ overflow: 'auto' }}
      tabIndex={0}
      role="region"
      aria-label={t('map')}
    >
      <Table className={classes.map} isOnCard isLoose>
        <caption>{t('legend')}</caption>
        <thead>
          <tr>
            <th scope="col" className={classes.corner}>
              {t('node')}
            </th>
            <th scope="col" style={{ minWidth: 210 }}>
              {t('wholeNode')}
            </th>
            {columns.map(({ id, name, tenant }) => (
              <th key={id} scope="col" style={{ minWidth: 150 }}>
                <DrvmLink name={name} id={id} fw={600} />
                <Text size="xs" c="dimmed">
                  {tenant}
                </Text>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {nodes.map((node) => {
            const isDark = node.state !== 'up';
            return (
              <tr key={node.id} className={isDark ? 'hatched' : undefined}>
                <th scope="row" className={classes.corner}>
                  <NodeLink name={node.name} fw={600} />
                  <div>
                    <StateBadge state={node.state} size="xs" />
                  </div>
                </th>
                <td>
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
                </td>
                {columns.map(({ id, name }) => {
                  const slice = node.slices.find((each) => each.drvmId === id);
                  if (!slice) {
                    return (
                      <td key={id}>
                        <Text size="sm" c="dimmed" aria-label={t('nothingHere')}>
                          ·
                        </Text>
                      </td>
                    );
                  }
                  const used = usedOf(slice, metric);
                  return (
                    <td key={id}>
                      <Link
                        href={drvmHref(name, id)}
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
                    </td>
                  );
                })}
              </tr>
            );
          })}
        </tbody>
      </Table>
    </Paper>
  );
}
