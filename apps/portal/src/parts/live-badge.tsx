'use client';
import { Badge } from '@mantine/core';
import { useFormatter, useTranslations } from 'next-intl';
import { useEffect, useState, useSyncExternalStore } from 'react';
import { liveState } from '@/graphql/connection';

/** Whether what is on the page is live; if not, how old it is. */
export function LiveBadge({ updatedAt }: { updatedAt: Date | null }) {
  const t = useTranslations('live');
  const format = useFormatter();
  const state = useSyncExternalStore(liveState.subscribe, liveState.get, () => 'connecting' as const);
  const [now, setNow] = useState(() => new Date());
  useEffect(() => {
    const timer = setInterval(() => setNow(new Date()), 1_000);
    return () => clearInterval(timer);
  }, []);
  if (state === 'live') {
    return (
      <Badge variant="dot" color="teal" tt="none" aria-live="off">
        {t('live')}
      </Badge>
    );
  }
  const age = updatedAt ? t('age', { ago: format.relativeTime(updatedAt, now) }) : t('connecting');
  return (
    <Badge
      variant="dot"
      color={state === 'lost' ? 'orange' : 'gray'}
      tt="none"
      role="status"
      title={t('lostHint')}
    >
      {state === 'lost' ? age : t('connecting')}
    </Badge>
  );
}
