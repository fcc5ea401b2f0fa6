'use client';
import { ActionIcon, Indicator } from '@mantine/core';
import { IconBell } from '@tabler/icons-react';
import Link from 'next/link';
import { useTranslations } from 'next-intl';
import { FiringAlertsQuery } from '@/graphql/alerts';
import { useAsked } from '@/parts/use-asked';

const COUNTED_MAX = 99;
const REFRESH_MS = 15_000;

/** How many alerts fire that nobody has silenced. */
export function AlertBell() {
  const t = useTranslations('alerts');
  const { data } = useAsked({ query: FiringAlertsQuery, variables: { first: COUNTED_MAX } }, REFRESH_MS);
  const now = Date.now();
  const count = (data?.alerts.nodes ?? []).filter(
    ({ silencedUntil }) => !silencedUntil || new Date(silencedUntil).getTime() <= now,
  ).length;
  const label = data?.alerts.pageInfo.hasNextPage ? `${count}+` : count;
  return (
    <Indicator label={label} disabled={count === 0} size={16} offset={6} color="red.9" inline>
      <ActionIcon
        component={Link}
        href="/alerts"
        variant="subtle"
        color="gray"
        size="lg"
        aria-label={t('bell', { count })}
      >
        <IconBell size={20} stroke={1.6} aria-hidden />
      </ActionIcon>
    </Indicator>
  );
}
