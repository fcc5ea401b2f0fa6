'use client';
import { Button, Group, Modal, type ModalProps, Stack } from '@mantine/core';
import { useTranslations } from 'next-intl';
import type { ReactNode } from 'react';
import { OperationProgress } from './operation-progress';

/** Asks about something that is to be done; once it is being done, `operation` shows how it goes in its place. */
export function Dialog({
  operation = null,
  afterwards,
  children,
  ...rest
}: Omit<ModalProps, 'opened'> & {
  opened?: boolean;
  operation?: string | null;
  /** What stands below an operation that goes on. */
  afterwards?: ReactNode;
}) {
  const t = useTranslations('operation');
  return (
    <Modal opened closeButtonProps={{ 'aria-label': t('close') }} {...rest}>
      {operation === null ? (
        children
      ) : (
        <Stack>
          <OperationProgress key={operation} id={operation} />
          {afterwards}
          <Group justify="flex-end">
            <Button onClick={rest.onClose}>{t('close')}</Button>
          </Group>
        </Stack>
      )}
    </Modal>
  );
}
