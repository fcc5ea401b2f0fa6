'use client';
import { Button, Group, Radio, Stack, Text } from '@mantine/core';
import { IconArrowBackUp } from '@tabler/icons-react';
import { useTranslations } from 'next-intl';
import { useState } from 'react';
import { useMutation } from 'urql';
import type { DrvmDetailQuery } from '@/gen/graphql';
import { MigrateProcessMutation } from '@/graphql/drvm';
import { useAmounts } from '@/parts/amounts';
import { Dialog } from '@/parts/dialog';
import { Refusal } from '@/parts/refusal';
import type { Process } from './process-table';

type Slice = NonNullable<DrvmDetailQuery['drvm']>['slices'][number];

/** Where to move a process: the nodes of its DRVM, the present one marked, the least loaded first. */
export function MigrateDialog({
  drvm,
  process,
  slices,
  wish,
  onClose,
}: {
  drvm: string;
  process: Process | null;
  slices: Slice[];
  /** The node on which it was dropped. */
  wish: string | null;
  onClose: () => void;
}) {
  const t = useTranslations('migrate');
  const { amount, bytes } = useAmounts();
  // The process as it was when the dialog opened: its node changes while it moves.
  const [subject] = useState(process);
  const [to, setTo] = useState(wish);
  const [operation, setOperation] = useState<string | null>(null);
  const [{ error, fetching }, migrate] = useMutation(MigrateProcessMutation);
  if (!subject) return null;

  const load = (slice: Slice) => slice.usedCpu / (slice.cpu || 1);
  const targets = [...slices].sort((a, b) => load(a) - load(b));
  const move = async (target: string) => {
    const { data } = await migrate({ drvm, pid: subject.pid, to: target });
    if (data) setOperation(data.migrateProcess.id);
  };
  const hasMoved = operation !== null && process !== null && process.node !== subject.node;
  return (
    <Dialog
      title={t('title', { pid: subject.pid, node: subject.node })}
      onClose={onClose}
      size="lg"
      operation={operation}
      afterwards={
        <>
          <Refusal error={error} />
          {hasMoved && (
            <Group>
              <Button
                variant="default"
                size="xs"
                leftSection={<IconArrowBackUp size={16} aria-hidden />}
                onClick={() => move(subject.node)}
                loading={fetching}
              >
                {t('back', { node: subject.node })}
              </Button>
            </Group>
          )}
        </>
      }
    >
      <Stack>
        <Text size="sm" ff="monospace" truncate>
          {subject.command}
        </Text>
        <Text size="sm">{t('what', { memory: bytes(subject.memoryBytes) })}</Text>
        <Radio.Group value={to} onChange={setTo} label={t('target')}>
          <Stack gap="xs" mt="xs">
            {targets.map((slice) => {
              const isHere = slice.node === subject.node;
              const isUp = slice.state === 'running';
              return (
                <Radio.Card
                  key={slice.id}
                  value={slice.node}
                  disabled={isHere || !isUp}
                  p="sm"
                  radius="md"
                  aria-label={slice.node}
                >
                  <Group wrap="nowrap" align="flex-start" opacity={isHere || !isUp ? 0.55 : 1}>
                    <Radio.Indicator disabled={isHere || !isUp} />
                    <div>
                      <Text fw={600} size="sm">
                        {slice.node} {isHere && `· ${t('here')}`} {!isUp && `· ${t('notRunning')}`}
                      </Text>
                      <Text size="xs" c="dimmed" className="numeric">
                        {t('load', {
                          used: amount('cpu', slice.usedCpu),
                          cpu: amount('cpu', slice.cpu),
                          memory: amount('memoryMiB', Math.max(0, slice.memoryMiB - slice.usedMemoryMiB)),
                          processes: slice.processes,
                        })}
                      </Text>
                    </div>
                  </Group>
                </Radio.Card>
              );
            })}
          </Stack>
        </Radio.Group>
        <Refusal error={error} />
        <Group justify="flex-end">
          <Button variant="subtle" color="gray" onClick={onClose}>
            {t('cancel')}
          </Button>
          <Button onClick={() => to && move(to)} loading={fetching} disabled={!to}>
            {t('migrate')}
          </Button>
        </Group>
      </Stack>
    </Dialog>
  );
}
