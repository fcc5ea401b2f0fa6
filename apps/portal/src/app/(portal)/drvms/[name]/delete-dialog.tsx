'use client';
import { Button, Group, Stack, Text, TextInput } from '@mantine/core';
import { useTranslations } from 'next-intl';
import { useState } from 'react';
import { Dialog } from '@/parts/dialog';

/** Deleting a DRVM loses its files: the user types its name first. */
export function DeleteDialog({
  name,
  onClose,
  onConfirm,
}: {
  name: string;
  onClose: () => void;
  onConfirm: () => void;
}) {
  const t = useTranslations('deleteDrvm');
  const [typed, setTyped] = useState('');
  return (
    <Dialog title={t('title', { name })} onClose={onClose}>
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
    </Dialog>
  );
}
