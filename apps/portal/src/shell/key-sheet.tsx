'use client';
import { Kbd } from '@mantine/core';
import { useTranslations } from 'next-intl';
import { Dialog } from '@/parts/dialog';
import { Table } from '@/parts/table';
import { useViewer } from '@/session/session';
import { placesFor } from './places';

/** All that is reached by keys alone. Loaded when it is asked for. */
export function KeySheet({ onClose }: { onClose: () => void }) {
  const t = useTranslations('palette');
  const tShell = useTranslations('shell');
  const { role } = useViewer();
  return (
    <Dialog onClose={onClose} title={t('keys')}>
      <Table>
        <tbody>
          <tr>
            <td>
              <Kbd>Ctrl</Kbd> <Kbd>K</Kbd>
            </td>
            <td>{t('open')}</td>
          </tr>
          {placesFor(role).map(({ key, letter }) => (
            <tr key={key}>
              <td>
                <Kbd>g</Kbd> <Kbd>{letter}</Kbd>
              </td>
              <td>{tShell(key)}</td>
            </tr>
          ))}
          <tr>
            <td>
              <Kbd>m</Kbd>
            </td>
            <td>{t('migrate')}</td>
          </tr>
          <tr>
            <td>
              <Kbd>?</Kbd>
            </td>
            <td>{t('keys')}</td>
          </tr>
        </tbody>
      </Table>
    </Dialog>
  );
}
