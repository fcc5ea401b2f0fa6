'use client';
import { ActionIcon, Button, Group, Text, UnstyledButton } from '@mantine/core';
import { IconArrowsExchange, IconX } from '@tabler/icons-react';
import { useTranslations } from 'next-intl';
import { useMutation } from 'urql';
import type { ProcessesSubscription } from '@/gen/graphql';
import { KillProcessMutation } from '@/graphql/drvm';
import { useAmounts } from '@/parts/amounts';
import { Heads } from '@/parts/list-table';
import { notifyDone, notifyFailure } from '@/parts/notify';
import { StateBadge } from '@/parts/state-badge';
import { Table } from '@/parts/table';
import { DRAGGED_PROCESS } from './dragged-process';

export type Process = ProcessesSubscription['processes'][number];

/** Rows beyond this are not drawn: the page stays quick, and says how many there are. */
const ROWS_MAX = 200;

/**
 * Every process of the DRVM whatever its node. Sorted by pid, so that a row stays where it is while its process
 * moves to another node.
 */
export function ProcessTable({
  drvm,
  isStopped,
  processes,
  chosenPid,
  mayChange,
  onChoose,
  onMigrate,
  onDragged,
}: {
  drvm: string;
  isStopped: boolean;
  processes: Process[] | null;
  chosenPid: number | null;
  mayChange: boolean;
  onChoose: (pid: number) => void;
  onMigrate: (pid: number) => void;
  /** From which node a process is dragged; null when it is let go. */
  onDragged: (from: string | null) => void;
}) {
  const t = useTranslations('processes');
  const { bytes, duration } = useAmounts();
  const [, kill] = useMutation(KillProcessMutation);

  const end = async (process: Process) => {
    const { error } = await kill({ drvm, pid: process.pid, signal: 'SIGTERM' });
    if (error) notifyFailure(t('killFailed', { pid: process.pid }), error);
    else notifyDone(t('killed', { pid: process.pid }));
  };

  if (isStopped) return <Text c="dimmed">{t('stopped')}</Text>;
  if (!processes) return <Text c="dimmed">{t('loading')}</Text>;
  if (processes.length === 0) return <Text c="dimmed">{t('none')}</Text>;
  const rows = [...processes].sort((a, b) => a.pid - b.pid).slice(0, ROWS_MAX);
  return (
    <div className="scrolled">
      <Table hasHover style={{ minWidth: 640 }}>
        <Heads
          of={[
            t('pid'),
            t('command'),
            t('node'),
            t('state'),
            t('cpu'),
            t('memory'),
            mayChange ? t('actions') : null,
          ]}
        />
        <tbody>
          {rows.map((process) => (
            <tr
              key={process.pid}
              data-pid={process.pid}
              draggable={mayChange}
              onDragStart={(event) => {
                event.dataTransfer.setData(DRAGGED_PROCESS, String(process.pid));
                event.dataTransfer.effectAllowed = 'move';
                onDragged(process.node);
              }}
              onDragEnd={() => onDragged(null)}
              style={{
                background: process.pid === chosenPid ? 'var(--mantine-primary-color-light)' : undefined,
              }}
            >
              <td className="numeric">{process.pid}</td>
              <td style={{ maxWidth: 320 }}>
                <UnstyledButton
                  onClick={() => onChoose(process.pid)}
                  onKeyDown={(event) => {
                    if (event.key !== 'm' || !mayChange || event.ctrlKey || event.metaKey || event.altKey)
                      return;
                    event.stopPropagation();
                    onMigrate(process.pid);
                  }}
                  aria-keyshortcuts={mayChange ? 'm' : undefined}
                  aria-pressed={process.pid === chosenPid}
                  title={process.command}
                >
                  <Text size="sm" ff="monospace" truncate maw={300}>
                    {process.command}
                  </Text>
                </UnstyledButton>
              </td>
              <td>{process.node}</td>
              <td>
                <StateBadge state={process.state} size="xs" />
              </td>
              <td className="numeric">{duration(process.cpuMs)}</td>
              <td className="numeric">{bytes(process.memoryBytes)}</td>
              {mayChange && (
                <td>
                  <Group gap={4} wrap="nowrap">
                    <Button
                      size="compact-xs"
                      variant="light"
                      leftSection={<IconArrowsExchange size={14} aria-hidden />}
                      onClick={() => onMigrate(process.pid)}
                      aria-label={t('migrateThis', { pid: process.pid })}
                    >
                      {t('migrate')}
                    </Button>
                    <ActionIcon
                      size="md"
                      variant="subtle"
                      color="red"
                      onClick={() => end(process)}
                      title={t('kill')}
                      aria-label={t('killThis', { pid: process.pid })}
                    >
                      <IconX size={16} aria-hidden />
                    </ActionIcon>
                  </Group>
                </td>
              )}
            </tr>
          ))}
        </tbody>
      </Table>
      {processes.length > ROWS_MAX && (
        <Text size="sm" c="dimmed" mt="xs">
          {t('more', { shown: ROWS_MAX, all: processes.length })}
        </Text>
      )}
    </div>
  );
}
