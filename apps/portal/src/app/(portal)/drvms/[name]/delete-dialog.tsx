'use client';
import { Button, Group, Modal, Stack, Text, TextInput } from '@mantine/core';
import { useTranslations } from 'next-intl';
import { useState } from 'react';

/** Deleting a DRVM loses its files: the user types its name first. */
export function DeleteDialog({
  name,
  isOpen,
  onClose,
  onConfirm,
}: {
  name: string;
  isOpen: boolean;
  onClose: () => void;
  onConfirm: () => void;
}) {
  const t = useTranslations('deleteDrvm');
  const [typed, setTyped] = useState('');
  return (
    <Modal
      opened={isOpen}
      onClose={onClose}
      title={t('title', { name })}
      closeButtonProps={{ 'aria-label': t('cancel') }}
    >
      <Stack>
        <Text size="sm">{t('what')}</Text>
        <TextInput
          label={t('typeName', { name })}
          value={typed}
          onChange={(event) => setTyped(event.currentTarget.value)}
          data-autofocus
        />
        <Group justify="flex-end">
          <Button variant="subtle" color="gray" onClick={onClose}>
            {t('cancel')}
          </Button>
          <Button color="red" disabled={typed !== name} onClick={onConfirm}>
            {t('delete')}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
