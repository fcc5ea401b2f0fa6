'use client';
import { Button, Group, Skeleton, Stack, Table, Text, Title } from '@mantine/core';
import { IconPlus } from '@tabler/icons-react';
import dynamic from 'next/dynamic';
import { useFormatter, useTranslations } from 'next-intl';
import { useState } from 'react';
import { useQuery } from 'urql';
import { DepartmentsQuery } from '@/graphql/departments';
import { METRICS, useAmounts } from '@/parts/amounts';
import { Empty } from '@/parts/empty';
import { Meter } from '@/parts/meter';
import { ScrollBox } from '@/parts/scroll-box';
import { Trouble } from '@/parts/trouble';
import { mayManageDrvms, useViewer } from '@/session/session';

const DepartmentDialog = dynamic(
  () => import('./department-dialog').then((loaded) => loaded.DepartmentDialog),
  { ssr: false },
);
const UserDialog = dynamic(() => import('./user-dialog').then((loaded) => loaded.UserDialog), { ssr: false });

/** Departments with what they may have and what they hold, and the people of each. */
export function DepartmentsScreen() {
  const t = useTranslations('departments');
  const tShell = useTranslations('shell');
  const tCluster = useTranslations('cluster');
  const format = useFormatter();
  const { amount } = useAmounts();
  const viewer = useViewer();
  const [{ data, error }, again] = useQuery({ query: DepartmentsQuery, requestPolicy: 'cache-and-network' });
  const [dialog, setDialog] = useState<'department' | 'user' | null>(null);
  const isSupra = viewer.role === 'supra-admin';
  const done = () => again({ requestPolicy: 'network-only' });

  if (!data) return error ? <Trouble error={error} onRetry={() => again()} /> : <Skeleton h={240} />;
  const departments = [...data.tenants.nodes].sort((a, b) => a.name.localeCompare(b.name));
  const people = [...data.users.nodes].sort((a, b) => a.name.localeCompare(b.name));
  return (
    <Stack gap="lg">
      <Group justify="space-between">
        <Title order={1} fz={26}>
          {isSupra || viewer.tenant === null ? t('title') : t('titleOwn', { name: viewer.tenant ?? '' })}
        </Title>
        <Group>
          {isSupra && (
            <Button leftSection={<IconPlus size={18} aria-hidden />} onClick={() => setDialog('department')}>
              {t('create')}
            </Button>
          )}
          {mayManageDrvms(viewer.role) && (
            <Button
              variant={isSupra ? 'default' : 'filled'}
              leftSection={<IconPlus size={18} aria-hidden />}
              onClick={() => setDialog('user')}
            >
              {t('createUser')}
            </Button>
          )}
        </Group>
      </Group>
      {error && <Trouble error={error} />}
      {departments.length === 0 ? (
        <Empty title={t('none')} hint={t('noneHint')} />
      ) : (
        <ScrollBox label={t('title')} isCard>
          <Table verticalSpacing="sm" horizontalSpacing="md">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t('name')}</Table.Th>
                {METRICS.map((metric) => (
                  <Table.Th key={metric} miw={180}>
                    {tCluster(`metrics.${metric}`)}
                  </Table.Th>
                ))}
                <Table.Th>{t('people')}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {departments.map((department) => (
                <Table.Tr key={department.id}>
                  <Table.Th scope="row">{department.name}</Table.Th>
                  {METRICS.map((metric) => {
                    const quota = department.quota[metric];
                    return (
                      <Table.Td key={metric}>
                        {typeof quota === 'number' ? (
                          <Meter
                            metric={metric}
                            label={t('heldOfQuota')}
                            capacity={quota}
                            used={department.used[metric]}
                          />
                        ) : (
                          <Text size="sm" className="numeric">
                            {t('noQuota', { amount: amount(metric, department.used[metric]) })}
                          </Text>
                        )}
                      </Table.Td>
                    );
                  })}
                  <Table.Td className="numeric">
                    {people.filter(({ tenant }) => tenant === department.name).length}
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </ScrollBox>
      )}
      <Title order={2} fz={18}>
        {t('people')}
      </Title>
      <ScrollBox label={t('people')} isCard>
        <Table verticalSpacing="xs" horizontalSpacing="md">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>{t('name')}</Table.Th>
              <Table.Th>{t('department')}</Table.Th>
              <Table.Th>{t('role')}</Table.Th>
              <Table.Th>{t('since')}</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {people.map((user) => (
              <Table.Tr key={user.id}>
                <Table.Th scope="row">{user.name}</Table.Th>
                <Table.Td>{user.tenant ?? t('wholeCluster')}</Table.Td>
                <Table.Td>
                  {tShell.has(`roles.${user.role}`) ? tShell(`roles.${user.role}`) : user.role}
                </Table.Td>
                <Table.Td className="numeric">
                  {format.dateTime(new Date(user.createdAt), { dateStyle: 'medium' })}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </ScrollBox>
      <DepartmentDialog isOpen={dialog === 'department'} onClose={() => setDialog(null)} onDone={done} />
      <UserDialog
        isOpen={dialog === 'user'}
        departments={departments.map(({ name }) => name)}
        onClose={() => setDialog(null)}
        onDone={done}
      />
    </Stack>
  );
}
