import type { ReactNode } from 'react';
import { SessionGate } from '@/session/session';
import { Shell } from '@/shell/shell';

export default function PortalLayout({ children }: { children: ReactNode }) {
  return (
    <SessionGate>
      <Shell>{children}</Shell>
    </SessionGate>
  );
}
