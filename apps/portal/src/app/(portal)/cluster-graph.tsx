'use client';
import { Paper, Text } from '@mantine/core';
import Link from 'next/link';
import { useTranslations } from 'next-intl';
import type { ClusterFieldsFragment } from '@/gen/graphql';
import { type Metric, share, useAmounts } from '@/parts/amounts';
import { drvmHref, nodeHref } from '@/parts/links';
import { ScrollBox } from '@/parts/scroll-box';
import classes from './cluster-graph.module.css';
import { drvmsOf } from './drvms-of';

const WIDTH = 132;
const GAP = 28;
const HEIGHT = 46;
/** Between the DRVMs above and the nodes below. */
const DEPTH = 170;
const MARGIN = 12;
/** How thick the line is by which a DRVM holds all of a node. */
const THICK = 22;

/**
 * DRVMs above, the nodes that serve them below: a line for what each holds of each, the thicker the more of the node it
 * is. The same figures as the map's, which reads aloud; here the lines are told in their titles.
 */
export function ClusterGraph({ nodes, metric }: { nodes: ClusterFieldsFragment[]; metric: Metric }) {
  const t = useTranslations('cluster');
  const tStates = useTranslations('states');
  const { amount, amounts } = useAmounts();
  const drvms = drvmsOf(nodes);
  const columns = Math.max(nodes.length, drvms.length, 1);
  const width = columns * (WIDTH + GAP) - GAP + 2 * MARGIN;
  /** The shorter of the two rows stands in the middle. */
  const xOf = (position: number, count: number) =>
    (width - count * (WIDTH + GAP) + GAP) / 2 + position * (WIDTH + GAP) + WIDTH / 2;
  const drvmAt = new Map(drvms.map(({ id }, position) => [id, xOf(position, drvms.length)]));
  const top = MARGIN + HEIGHT;
  const bottom = top + DEPTH;
  const state = (word: string) => (tStates.has(word) ? tStates(word) : word);

  return (
    <Paper className="card" radius="md" p="xs" component="section" aria-label={t('graph')}>
      <ScrollBox label={t('graphLegend')}>
        {/* biome-ignore lint/a11y/noSvgWithoutTitle: its region has the name; a title would hang over every part of it */}
        <svg
          className={classes.graph}
          viewBox={`0 0 ${width} ${bottom + HEIGHT + MARGIN}`}
          style={{ maxWidth: Math.max(560, width * 1.4) }}
        >
          {nodes.flatMap((node, position) =>
            node.slices.map((slice) => {
              const from = drvmAt.get(slice.drvmId) ?? 0;
              const to = xOf(position, nodes.length);
              const part = share(slice[metric], node.capacity[metric]);
              return (
                <path
                  key={slice.id}
                  className={classes.link}
                  strokeWidth={1.5 + part * THICK}
                  d={`M${from} ${top}C${from} ${top + DEPTH / 2} ${to} ${top + DEPTH / 2} ${to} ${bottom}`}
                >
                  <title>
                    {t('cell', { drvm: slice.drvm, node: node.name })} {amount(metric, slice[metric])}
                  </title>
                </path>
              );
            }),
          )}
          {drvms.map(({ id, name, tenant }, position) => (
            <Box
              key={id}
              href={drvmHref(name, id)}
              x={xOf(position, drvms.length)}
              y={MARGIN}
              name={name}
              detail={tenant}
              className={classes.drvm ?? ''}
            />
          ))}
          {nodes.map((node, position) => (
            <Box
              key={node.id}
              href={nodeHref(node.name)}
              x={xOf(position, nodes.length)}
              y={bottom}
              name={node.name}
              detail={
                node.state === 'up'
                  ? amounts(metric, [node.allocated[metric], node.capacity[metric]])
                  : state(node.state)
              }
              isDark={node.state !== 'up'}
              className={classes.node ?? ''}
            />
          ))}
        </svg>
      </ScrollBox>
      <Text size="xs" c="dimmed" px="xs">
        {t('graphLegend')}
      </Text>
    </Paper>
  );
}

function Box({
  href,
  x,
  y,
  name,
  detail,
  isDark = false,
  className,
}: {
  href: string;
  /** Of its middle. */
  x: number;
  /** Of its upper edge. */
  y: number;
  name: string;
  detail: string;
  isDark?: boolean;
  className: string;
}) {
  return (
    <Link href={href}>
      <rect
        x={x - WIDTH / 2}
        y={y}
        width={WIDTH}
        height={HEIGHT}
        rx="8"
        className={className}
        data-dark={isDark || undefined}
      />
      <text x={x} y={y + 20}>
        {name}
      </text>
      <text x={x} y={y + 36} className={classes.small}>
        {detail}
      </text>
    </Link>
  );
}
