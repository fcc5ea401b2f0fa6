'use client';
import { ActionIcon } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { IconSearch } from '@tabler/icons-react';
import dynamic from 'next/dynamic';
import { useRouter } from 'next/navigation';
import { useTranslations } from 'next-intl';
import { useEffect, useRef, useState } from 'react';
import { useViewer } from '@/session/session';
import { placesFor } from './places';

const LazyPalette = dynamic(() => import('./lazy-palette').then((loaded) => loaded.LazyPalette), {
  ssr: false,
});
const KeySheet = dynamic(() => import('./key-sheet').then((loaded) => loaded.KeySheet), { ssr: false });
/** After `g`, the letter of a place must come within this. */
const SEQUENCE_MS = 1_500;

/** Keys are for those who are not writing: not in fields, nor in a terminal (WCAG 2.2, 2.1.4). */
function isWriting(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    target.closest('input, textarea, select, [contenteditable], .xterm') !== null
  );
}

/** The search button of the header, with all that is reached by keys alone: palette, `g` and a letter, `?`. */
export function Shortcuts() {
  const t = useTranslations('palette');
  const router = useRouter();
  const { role } = useViewer();
  const [wanted, setWanted] = useState(0);
  const [isSheetOpen, sheet] = useDisclosure();
  const goneSince = useRef(0);

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') {
        event.preventDefault();
        setWanted((times) => times + 1);
        return;
      }
      if (event.ctrlKey || event.metaKey || event.altKey || isWriting(event.target)) return;
      if (event.key === '?') return sheet.open();
      if (event.key === 'g') {
        goneSince.current = event.timeStamp;
        return;
      }
      const place = placesFor(role).find(({ letter }) => letter === event.key);
      if (place && event.timeStamp - goneSince.current < SEQUENCE_MS) router.push(place.href);
      goneSince.current = 0;
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, [role, router, sheet]);

  return (
    <>
      <ActionIcon
        variant="subtle"
        color="gray"
        size="lg"
        title={`${t('open')} (Ctrl K)`}
        aria-label={t('open')}
        aria-keyshortcuts="Control+K"
        onClick={() => setWanted((times) => times + 1)}
      >
        <IconSearch size={20} stroke={1.6} aria-hidden />
      </ActionIcon>
      {wanted > 0 && <LazyPalette wanted={wanted} />}
      {isSheetOpen && <KeySheet onClose={sheet.close} />}
    </>
  );
}
