'use client';
import { Button, Group } from '@mantine/core';
import { IconArrowBackUp, IconDoorExit, IconPower } from '@tabler/icons-react';
import dynamic from 'next/dynamic';
import { useTranslations } from 'next-intl';
import { useState } from 'react';
import type { Action } from './action-dialog';

const ActionDialog = dynamic(() => import('./action-dialog').then((loaded) => loaded.ActionDialog), {
  ssr: false,
});
/** In between the power is on its way; what is quarantined is released first. */
const SWITCHABLE = ['on', 'off', 'failed', 'joining'];

/** What may be done with the node as it is now; each is asked about once more, with what it means. */
export function NodeActions({
  name,
  state,
  power,
  hasDriver,
}: {
  name: string;
  state: string;
  /** Null while it is not known. */
  power: string | null;
  hasDriver: boolean;
}) {
  const t = useTranslations('nodeActions');
  const [action, setAction] = useState<Action | null>(null);
  const isClosed = state === 'drained' || state === 'draining' || state === 'off';
  const isOff = power === 'off' || power === 'failed';
  return (
    <>
      <Group gap="xs">
        {!isClosed && (
          <Button
            variant="default"
            leftSection={<IconDoorExit size={16} aria-hidden />}
            onClick={() => setAction('drain')}
          >
            {t('drain.do')}
          </Button>
        )}
        {isClosed && (
          <Button
            variant="default"
            leftSection={<IconArrowBackUp size={16} aria-hidden />}
            onClick={() => setAction('restore')}
          >
            {t('restore.do')}
          </Button>
        )}
        {power !== null && hasDriver && (
          <Button
            variant="default"
            leftSection={<IconPower size={16} aria-hidden />}
            onClick={() => setAction(isOff ? 'on' : 'off')}
            disabled={!SWITCHABLE.includes(power)}
          >
            {t(isOff ? 'on.do' : 'off.do')}
          </Button>
        )}
      </Group>
      {action && (
        <ActionDialog
          action={action}
          name={name}
          needsForce={action === 'off' && state !== 'drained'}
          onClose={() => setAction(null)}
        />
      )}
    </>
  );
}
