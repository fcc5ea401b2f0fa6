'use client';
import { Kbd, Modal, Table } from '@mantine/core';
import { useTranslations } from 'next-intl';
import { useViewer } from '@/session/session';
import { placesFor } from './places';

/** All that is reached by keys alone. Loaded when it is asked for. */
export function KeySheet({ onClose }: { onClose: () => void }) {
  const t = useTranslations('palette');
  const tShell = useTranslations('shell');
  const { role } = useViewer();
  return (
    <Modal opened onClose={onClose} title={t('keys')} closeButtonProps={{ 'aria-label': t('close') }}>
      <Table>
        <Table.Tbody>
          <Table.Tr>
            <Table.Td>
              <Kbd>Ctrl</Kbd> <Kbd>K</Kbd>
            </Table.Td>
            <Table.Td>{t('open')}</Table.Td>
          </Table.Tr>
          {placesFor(role).map(({ key, letter }) => (
            <Table.Tr key={key}>
              <Table.Td>
                <Kbd>g</Kbd> <Kbd>{letter}</Kbd>
              </Table.Td>
              <Table.Td>{tShell(key)}</Table.Td>
            </Table.Tr>
          ))}
          <Table.Tr>
            <Table.Td>
              <Kbd>?</Kbd>
            </Table.Td>
            <Table.Td>{t('keys')}</Table.Td>
          </Table.Tr>
        </Table.Tbody>
      </Table>
    </Modal>
  );
}
