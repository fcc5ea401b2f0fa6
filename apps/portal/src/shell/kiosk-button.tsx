'use client';
import { ActionIcon } from '@mantine/core';
import { IconMaximize } from '@tabler/icons-react';
import Link from 'next/link';
import { useTranslations } from 'next-intl';
import { useKiosk, useKioskHref } from './kiosk';

/** Leads to the same view on its own, for a display on a wall; there it is not shown. */
export function KioskButton() {
  const t = useTranslations('shell');
  const href = useKioskHref(true);
  if (useKiosk()) return null;
  return (
    <ActionIcon
      component={Link}
      href={href}
      variant="default"
      size="lg"
      title={t('kiosk')}
      aria-label={t('kiosk')}
    >
      <IconMaximize size={18} aria-hidden />
    </ActionIcon>
  );
}
