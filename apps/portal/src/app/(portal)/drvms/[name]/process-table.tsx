'use client';
import { ActionIcon, Button, Group, Table, Text, Tooltip, UnstyledButton } from '@mantine/core';
import { IconArrowsExchange, IconX } from '@tabler/icons-react';
import { useTranslations } from 'next-intl';
import { useMutation } from 'urql';
import type { ProcessesSubscription } from '@/gen/graphql';
import { KillProcessMutation } from '@/graphql/drvm';
import { useAmounts } from '@/parts/amounts';
import { notifyDone, notifyFailure } from '@/parts/notify';
import { StateBadge } from '@/parts/state-badge';

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
}: {
  drvm: string;
  isStopped: boolean;
  processes: Process[] | null;
  chosenPid: number | null;
  mayChange: boolean;
  onChoose: (pid: number) => void;
  onMigrate: (pid: number) => void;
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
    <Table.ScrollContainer minWidth={640}>
      <Table verticalSpacing={6} highlightOnHover>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{t('pid')}</Table.Th>
            <Table.Th>{t('command')}</Table.Th>
            <Table.Th>{t('node')}</Table.Th>
            <Table.Th>{t('state')}</Table.Th>
            <Table.Th>{t('cpu')}</Table.Th>
            <Table.Th>{t('memory')}</Table.Th>
            {mayChange && <Table.Th>{t('actions')}</Table.Th>}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.map((process) => (
            <Table.Tr
              key={process.pid}
              data-pid={process.pid}
              bg={process.pid === chosenPid ? 'var(--mantine-primary-color-light)' : undefined}
            >
              <Table.Td className="numeric">{process.pid}</Table.Td>
              <Table.Td maw={320}>
                <UnstyledButton
                  onClick={() => onChoose(process.pid)}
                  aria-pressed={process.pid === chosenPid}
                  title={process.command}
                >
                  <Text size="sm" ff="monospace" truncate maw={300}>
                    {process.command}
                  </Text>
                </UnstyledButton>
              </Table.Td>
              <Table.Td>{process.node}</Table.Td>
              <Table.Td>
                <StateBadge state={process.state} size="xs" />
              </Table.Td>
              <Table.Td className="numeric">{duration(process.cpuMs)}</Table.Td>
              <Table.Td className="numeric">{bytes(process.memoryBytes)}</Table.Td>
              {mayChange && (
                <Table.Td>
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
                    <Tooltip label={t('kill')}>
                      <ActionIcon
                        size="md"
                        variant="subtle"
                        color="red"
                        onClick={() => end(process)}
                        aria-label={t('killThis', { pid: process.pid })}
                      >
                        <IconX size={16} aria-hidden />
                      </ActionIcon>
                    </Tooltip>
                  </Group>
                </Table.Td>
              )}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {processes.length > ROWS_MAX && (
        <Text size="sm" c="dimmed" mt="xs">
          {t('more', { shown: ROWS_MAX, all: processes.length })}
        </Text>
      )}
    </Table.ScrollContainer>
  );
}
