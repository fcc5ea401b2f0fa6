'use client';
import dynamic from 'next/dynamic';

const Notices = dynamic(() => import('@mantine/notifications').then((loaded) => loaded.Notifications), {
  ssr: false,
});

/** Where what was done, or was not, is told; it comes after the page that tells of nothing yet. */
export function LazyNotices() {
  return <Notices position="top-right" />;
}
