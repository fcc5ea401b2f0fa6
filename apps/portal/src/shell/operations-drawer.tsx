'use client';
import { ActionIcon, Indicator } from '@mantine/core';
import { IconListCheck } from '@tabler/icons-react';
import dynamic from 'next/dynamic';
import { useTranslations } from 'next-intl';
import { GoingOperationsQuery } from '@/graphql/operations';
import { useAsked } from '@/parts/use-asked';
import { usePopover } from '@/parts/use-popover';
import classes from './operations-drawer.module.css';

const OperationsPanel = dynamic(() => import('./operations-panel').then((loaded) => loaded.OperationsPanel), {
  ssr: false,
});
const LOOKED_AT = 20;
const REFRESH_MS = 5_000;

/** How many operations go on, and, pressed, the last ones with what may be done about them: on every screen. */
export function OperationsDrawer() {
  const t = useTranslations('operations');
  const { isOpen, hide, targetProps, panelProps } = usePopover('dialog');
  const { data } = useAsked({ query: GoingOperationsQuery, variables: { first: LOOKED_AT } }, REFRESH_MS);
  const count = (data?.operations.nodes ?? []).filter(
    ({ state }) => state === 'running' || state === 'queued',
  ).length;
  return (
    <>
      <Indicator label={count} disabled={count === 0} size={16} offset={6} inline>
        <ActionIcon
          variant="subtle"
          color="gray"
          size="lg"
          aria-label={t('drawer', { count })}
          {...targetProps}
        >
          <IconListCheck size={20} stroke={1.6} aria-hidden />
        </ActionIcon>
      </Indicator>
      <div {...panelProps} role="dialog" aria-label={t('title')} className={classes.drawer}>
        {isOpen && <OperationsPanel onLeave={hide} />}
      </div>
    </>
  );
}
