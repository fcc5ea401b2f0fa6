'use client';
import {
  Anchor,
  Breadcrumbs,
  Button,
  Group,
  Paper,
  SimpleGrid,
  Skeleton,
  Stack,
  Text,
  Title,
} from '@mantine/core';
import {
  IconArrowsMaximize,
  IconChevronDown,
  IconPlayerPlay,
  IconPlayerStop,
  IconTrash,
} from '@tabler/icons-react';
import dynamic from 'next/dynamic';
import Link from 'next/link';
import { useTranslations } from 'next-intl';
import { useEffect, useState } from 'react';
import { type CombinedError, useMutation, useSubscription } from 'urql';
import type { DrvmDetailQuery } from '@/gen/graphql';
import {
  DeleteDrvmMutation,
  DrvmQuery,
  ProcessesSubscription,
  StartDrvmMutation,
  StopDrvmMutation,
} from '@/graphql/drvm';
import { Awaited } from '@/parts/awaited';
import { Empty } from '@/parts/empty';
import { LiveBadge } from '@/parts/live-badge';
import { Menu, MenuItem } from '@/parts/menu';
import { notifyFailure } from '@/parts/notify';
import { OperationProgress } from '@/parts/operation-progress';
import { StateBadge } from '@/parts/state-badge';
import { useAsked } from '@/parts/use-asked';
import { mayManageDrvms, mayRunPrograms, useViewer } from '@/session/session';
import { OutputPanel } from './output-panel';
import { ProcessTable } from './process-table';
import { SliceCard } from './slice-card';

const REFRESH_MS = 2_000;
/** Loaded when they are wanted: the chart library and the dialog are no part of the first look. */
const HistoryPanel = dynamic(() => import('./history-panel').then((loaded) => loaded.HistoryPanel), {
  ssr: false,
  loading: () => <Skeleton h={300} />,
});
const DeleteDialog = dynamic(() => import('./delete-dialog').then((loaded) => loaded.DeleteDialog), {
  ssr: false,
});
const MigrateDialog = dynamic(() => import('./migrate-dialog').then((loaded) => loaded.MigrateDialog), {
  ssr: false,
});
const RunDialog = dynamic(() => import('./run-dialog').then((loaded) => loaded.RunDialog), { ssr: false });
const ResizeDialog = dynamic(() => import('./resize-dialog').then((loaded) => loaded.ResizeDialog), {
  ssr: false,
});

export function DrvmScreen({ name, id }: { name: string; id: string | null }) {
  const t = useTranslations('drvm');
  const { data, error, refresh } = useAsked(
    { query: DrvmQuery, variables: id ? { id } : { name } },
    REFRESH_MS,
  );
  if (!data) return <Awaited error={error} onRetry={refresh} height={420} />;
  if (!data.drvm)
    return <Empty title={t('none', { name })} hint={t('noneHint')} href="/drvms" action={t('toDrvms')} />;
  return <Screen drvm={data.drvm} />;
}

function Screen({ drvm }: { drvm: NonNullable<DrvmDetailQuery['drvm']> }) {
  const t = useTranslations('drvm');
  const viewer = useViewer();
  const [{ data }] = useSubscription({ query: ProcessesSubscription, variables: { drvm: drvm.id } });
  const processes = data?.processes ?? null;
  const [updatedAt, setUpdatedAt] = useState<Date | null>(null);
  const [chosenPid, setChosenPid] = useState<number | null>(null);
  const [migrating, setMigrating] = useState<{ pid: number; to: string | null } | null>(null);
  const [draggedFrom, setDraggedFrom] = useState<string | null>(null);
  const [isDeleting, setDeleting] = useState(false);
  const [isRunning, setRunning] = useState(false);
  const [isResizing, setResizing] = useState(false);
  const [operation, setOperation] = useState<string | null>(null);
  const [, start] = useMutation(StartDrvmMutation);
  const [, stop] = useMutation(StopDrvmMutation);
  const [, remove] = useMutation(DeleteDrvmMutation);

  useEffect(() => {
    if (processes) setUpdatedAt(new Date());
  }, [processes]);
  const shownPid = chosenPid ?? processes?.[0]?.pid ?? null;
  const migratingProcess = processes?.find((process) => process.pid === migrating?.pid) ?? null;
  const mayManage = mayManageDrvms(viewer.role);
  const mayRun = mayRunPrograms(viewer.role);

  const begun = async (
    asked: Promise<{ error?: CombinedError; data?: Record<string, { id: string }> }>,
    failed: string,
  ) => {
    const { error, data: answer } = await asked;
    if (error) notifyFailure(failed, error);
    else setOperation(Object.values(answer ?? {})[0]?.id ?? null);
  };
  const { id } = drvm;
  const startDrvm = () => begun(start({ id }), t('startFailed'));
  const stopDrvm = () => begun(stop({ id }), t('stopFailed'));
  const deleteDrvm = () => {
    setDeleting(false);
    return begun(remove({ id }), t('deleteFailed'));
  };

  return (
    <Stack gap="lg">
      <Breadcrumbs>
        <Anchor component={Link} href="/drvms">
          {t('drvms')}
        </Anchor>
        <Text>{drvm.name}</Text>
      </Breadcrumbs>
      <Group justify="space-between" align="flex-start">
        <div>
          <Group gap="sm">
            <Title order={1} fz={26}>
              {drvm.name}
            </Title>
            <StateBadge state={drvm.state} size="md" />
          </Group>
          <Text c="dimmed" size="sm">
            {t('summary', { department: drvm.tenant, dvos: drvm.dvos, nodes: drvm.slices.length })}
          </Text>
          {drvm.detail && <Text size="sm">{drvm.detail}</Text>}
        </div>
        <Group>
          <LiveBadge updatedAt={updatedAt} />
          {mayManage && (
            <Menu
              label={t('actions')}
              target={(props) => (
                <Button variant="default" rightSection={<IconChevronDown size={16} aria-hidden />} {...props}>
                  {t('actions')}
                </Button>
              )}
            >
              <MenuItem icon={<IconPlayerPlay size={16} aria-hidden />} onClick={startDrvm}>
                {t('start')}
              </MenuItem>
              <MenuItem icon={<IconPlayerStop size={16} aria-hidden />} onClick={stopDrvm}>
                {t('stop')}
              </MenuItem>
              <MenuItem icon={<IconArrowsMaximize size={16} aria-hidden />} onClick={() => setResizing(true)}>
                {t('resize')}
              </MenuItem>
              <hr />
              <MenuItem isDanger icon={<IconTrash size={16} aria-hidden />} onClick={() => setDeleting(true)}>
                {t('delete')}
              </MenuItem>
            </Menu>
          )}
        </Group>
      </Group>
      {operation && <OperationProgress key={operation} id={operation} onClose={() => setOperation(null)} />}
      <SimpleGrid cols={{ base: 1, sm: 2, lg: Math.min(4, Math.max(3, drvm.slices.length)) }}>
        {drvm.slices.map((slice) => (
          <SliceCard
            key={slice.id}
            slice={slice}
            isTarget={draggedFrom !== null && draggedFrom !== slice.node && slice.state === 'running'}
            onDropped={(pid) => setMigrating({ pid, to: slice.node })}
          />
        ))}
      </SimpleGrid>
      <Paper className="card" p="md" radius="md" component="section">
        <Group justify="space-between" mb="xs">
          <Title order={2} fz={18}>
            {t('processes')}
          </Title>
          {mayRun && drvm.state !== 'stopped' && (
            <Button
              variant="light"
              leftSection={<IconPlayerPlay size={16} aria-hidden />}
              onClick={() => setRunning(true)}
            >
              {t('run')}
            </Button>
          )}
        </Group>
        <ProcessTable
          drvm={drvm.id}
          isStopped={drvm.state === 'stopped'}
          processes={processes}
          chosenPid={shownPid}
          mayChange={mayRun}
          onChoose={setChosenPid}
          onMigrate={(pid) => setMigrating({ pid, to: null })}
          onDragged={setDraggedFrom}
        />
      </Paper>
      <HistoryPanel drvm={drvm.id} operations={drvm.operations} />
      {shownPid !== null && (
        <OutputPanel
          key={`${drvm.id}/${shownPid}`}
          drvm={drvm.id}
          pid={shownPid}
          command={processes?.find((process) => process.pid === shownPid)?.command ?? ''}
        />
      )}
      {migrating !== null && (
        <MigrateDialog
          key={`${migrating.pid}/${migrating.to}`}
          wish={migrating.to}
          drvm={drvm.id}
          process={migratingProcess}
          slices={drvm.slices}
          onClose={() => setMigrating(null)}
        />
      )}
      {isRunning && (
        <RunDialog
          drvm={drvm.id}
          nodes={drvm.slices.map((slice) => slice.node)}
          onStarted={setChosenPid}
          onClose={() => setRunning(false)}
        />
      )}
      {isResizing && <ResizeDialog drvm={drvm} onClose={() => setResizing(false)} />}
      {isDeleting && (
        <DeleteDialog name={drvm.name} onClose={() => setDeleting(false)} onConfirm={deleteDrvm} />
      )}
    </Stack>
  );
}
