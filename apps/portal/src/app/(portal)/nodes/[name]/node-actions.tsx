'use client';
import { Button, Group, Modal, Radio, Stack, Text, TextInput } from '@mantine/core';
import { IconArrowBackUp, IconDoorExit, IconPower } from '@tabler/icons-react';
import { useTranslations } from 'next-intl';
import { useState } from 'react';
import { type CombinedError, useMutation } from 'urql';
import { DrainNodeMutation, RestoreNodeMutation, SwitchNodeMutation } from '@/graphql/node';
import { OperationProgress } from '@/parts/operation-progress';
import { Trouble } from '@/parts/trouble';

type Action = 'drain' | 'restore' | 'off' | 'on';
const RESTORE_MODES = ['return', 'stay', 'rebalance'] as const;
const COLORS: Partial<Record<Action, string>> = { drain: 'orange', off: 'red' };
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

function ActionDialog({
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
    <Modal
      opened
      onClose={onClose}
      title={t(`${action}.title`, { name })}
      closeButtonProps={{ 'aria-label': t('close') }}
      size="lg"
    >
      <Stack>
        {operation ? (
          <>
            <OperationProgress id={operation} />
            <Text size="sm" c="dimmed">
              {t('goesOn')}
            </Text>
            <Group justify="flex-end">
              <Button onClick={onClose}>{t('close')}</Button>
            </Group>
          </>
        ) : (
          <>
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
                color={COLORS[action]}
                onClick={submit}
                loading={draining.fetching || restoring.fetching || switching.fetching}
                disabled={isForced && typed !== name}
              >
                {t(`${action}.do`)}
              </Button>
            </Group>
          </>
        )}
      </Stack>
    </Modal>
  );
}
