'use client';
import { IconMinimize } from '@tabler/icons-react';
import Link from 'next/link';
import { usePathname, useSearchParams } from 'next/navigation';
import { useTranslations } from 'next-intl';
import type { ReactNode } from 'react';
import classes from './kiosk.module.css';

/** The parameter of the address under which a screen stands alone, for a display on a wall. */
const KIOSK = 'kiosk';

export const useKiosk = (): boolean => useSearchParams().get(KIOSK) === '1';

/** The address of this very view, with or without all that is around it. */
export function useKioskHref(isKiosk: boolean): string {
  const path = usePathname();
  const search = new URLSearchParams(useSearchParams());
  if (isKiosk) search.set(KIOSK, '1');
  else search.delete(KIOSK);
  return search.size > 0 ? `${path}?${search}` : path;
}

/** A screen with nothing around it, larger, and a small way back. */
export function Kiosk({ children }: { children: ReactNode }) {
  const t = useTranslations('shell');
  const href = useKioskHref(false);
  return (
    <main id="content" className={classes.kiosk}>
      {children}
      <Link href={href} className={classes.leave}>
        <IconMinimize size={18} aria-hidden /> {t('leaveKiosk')}
      </Link>
    </main>
  );
}
