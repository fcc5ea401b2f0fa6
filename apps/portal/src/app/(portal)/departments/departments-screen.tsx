'use client';
import { Button, Group, Stack, Text, Title } from '@mantine/core';
import { IconPlus } from '@tabler/icons-react';
import dynamic from 'next/dynamic';
import { useFormatter, useTranslations } from 'next-intl';
import { useState } from 'react';
import { DepartmentsQuery } from '@/graphql/departments';
import { METRICS, useAmounts } from '@/parts/amounts';
import { Awaited } from '@/parts/awaited';
import { byName } from '@/parts/by-name';
import { Empty } from '@/parts/empty';
import { ListTable } from '@/parts/list-table';
import { Meter } from '@/parts/meter';
import { ScreenHead } from '@/parts/screen-head';
import { Trouble } from '@/parts/trouble';
import { useAsked } from '@/parts/use-asked';
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
  const { data, error, refresh } = useAsked({ query: DepartmentsQuery });
  const [dialog, setDialog] = useState<'department' | 'user' | null>(null);
  const isSupra = viewer.role === 'supra-admin';

  if (!data) return <Awaited error={error} onRetry={refresh} height={240} />;
  const departments = [...data.tenants.nodes].sort((a, b) => byName(a.name, b.name));
  const people = [...data.users.nodes].sort((a, b) => byName(a.name, b.name));
  return (
    <Stack gap="lg">
      <ScreenHead
        title={isSupra || viewer.tenant === null ? t('title') : t('titleOwn', { name: viewer.tenant ?? '' })}
      >
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
      </ScreenHead>
      {error && <Trouble error={error} />}
      {departments.length === 0 ? (
        <Empty title={t('none')} hint={t('noneHint')} />
      ) : (
        <ListTable
          label={t('title')}
          isLoose
          minWidth={760}
          heads={[t('name'), ...METRICS.map((metric) => tCluster(`metrics.${metric}`)), t('people')]}
        >
          {departments.map((department) => (
            <tr key={department.id}>
              <th scope="row">{department.name}</th>
              {METRICS.map((metric) => {
                const quota = department.quota[metric];
                return (
                  <td key={metric}>
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
                  </td>
                );
              })}
              <td className="numeric">{people.filter(({ tenant }) => tenant === department.name).length}</td>
            </tr>
          ))}
        </ListTable>
      )}
      <Title order={2} fz={18}>
        {t('people')}
      </Title>
      <ListTable label={t('people')} heads={[t('name'), t('department'), t('role'), t('since')]}>
        {people.map((user) => (
          <tr key={user.id}>
            <th scope="row">{user.name}</th>
            <td>{user.tenant ?? t('wholeCluster')}</td>
            <td>{tShell.has(`roles.${user.role}`) ? tShell(`roles.${user.role}`) : user.role}</td>
            <td className="numeric">{format.dateTime(new Date(user.createdAt), { dateStyle: 'medium' })}</td>
          </tr>
        ))}
      </ListTable>
      <DepartmentDialog isOpen={dialog === 'department'} onClose={() => setDialog(null)} onDone={refresh} />
      <UserDialog
        isOpen={dialog === 'user'}
        departments={departments.map(({ name }) => name)}
        onClose={() => setDialog(null)}
        onDone={refresh}
      />
    </Stack>
  );
}
