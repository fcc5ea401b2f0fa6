'use client';
import { Button, Group, Radio, Stack, Text, TextInput } from '@mantine/core';
import { useTranslations } from 'next-intl';
import { useState } from 'react';
import { type CombinedError, useMutation } from 'urql';
import { DrainNodeMutation, RestoreNodeMutation, SwitchNodeMutation } from '@/graphql/node';
import { Dialog } from '@/parts/dialog';
import { Trouble } from '@/parts/trouble';

export type Action = 'drain' | 'restore' | 'off' | 'on';
const RESTORE_MODES = ['return', 'stay', 'rebalance'] as const;

/** Asks once more, says what it means, and shows how it goes. */
export function ActionDialog({
  action,
  name,
  needsForce,
  onClose,
}: {
  action: Action;
  name: string;
  needsForce: boolean;
  onClose: () => void;
}) {
  const t = useTranslations('nodeActions');
  const [mode, setMode] = useState<string>('return');
  const [typed, setTyped] = useState('');
  // As it was when it was asked: the node changes while it is carried out.
  const [isForced] = useState(needsForce);
  const [operation, setOperation] = useState<string | null>(null);
  const [error, setError] = useState<CombinedError | null>(null);
  const [draining, drain] = useMutation(DrainNodeMutation);
  const [restoring, restore] = useMutation(RestoreNodeMutation);
  const [switching, switchPower] = useMutation(SwitchNodeMutation);

  const submit = async () => {
    setError(null);
    if (action === 'drain') {
      const answer = await drain({ name });
      if (answer.error) setError(answer.error);
      else setOperation(answer.data?.drainNode.id ?? null);
    } else if (action === 'restore') {
      const answer = await restore({ name, mode });
      if (answer.error) setError(answer.error);
      else setOperation(answer.data?.restoreNodeTo.id ?? null);
    } else {
      const answer = await switchPower({
        node: name,
        power: action,
        force: isForced ? typed : null,
        open: action === 'on' ? true : null,
      });
      if (answer.error) setError(answer.error);
      else setOperation(answer.data?.switchNodePower.id ?? null);
    }
  };

  return (
    <Dialog
      title={t(`${action}.title`, { name })}
      onClose={onClose}
      size="lg"
      operation={operation}
      afterwards={
        <Text size="sm" c="dimmed">
          {t('goesOn')}
        </Text>
      }
    >
      <Stack>
        <Text size="sm">{t(`${action}.what`, { name })}</Text>
        {action === 'restore' && (
          <Radio.Group value={mode} onChange={setMode} label={t('restore.mode')}>
            <Stack gap="xs" mt="xs">
              {RESTORE_MODES.map((each) => (
                <Radio
                  key={each}
                  value={each}
                  label={t(`restore.modes.${each}`)}
                  description={t(`restore.about.${each}`)}
                />
              ))}
            </Stack>
          </Radio.Group>
        )}
        {isForced && (
          <>
            <Text size="sm" fw={600}>
              {t('off.notDrained')}
            </Text>
            <TextInput
              label={t('off.typeName', { name })}
              value={typed}
              onChange={(event) => setTyped(event.currentTarget.value)}
              data-autofocus
            />
          </>
        )}
        {error && <Trouble error={error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            {t('cancel')}
          </Button>
          <Button
            color={action === 'off' ? 'red' : undefined}
            onClick={submit}
            loading={draining.fetching || restoring.fetching || switching.fetching}
            disabled={isForced && typed !== name}
          >
            {t(`${action}.do`)}
          </Button>
        </Group>
      </Stack>
    </Dialog>
  );
}
