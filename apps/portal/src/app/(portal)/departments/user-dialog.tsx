'use client';
import { Alert, Button, Code, CopyButton, Group, Select, Stack, Text, TextInput } from '@mantine/core';
import { useTranslations } from 'next-intl';
import { type FormEvent, useState } from 'react';
import { type CombinedError, useMutation } from 'urql';
import { CreateUserMutation } from '@/graphql/departments';
import { Dialog } from '@/parts/dialog';
import { Trouble } from '@/parts/trouble';
import { useViewer } from '@/session/session';

const ROLES_OF_DEPARTMENT = ['member', 'tenant-admin', 'auditor'] as const;
const ROLES_OF_CLUSTER = ['supra-admin', 'auditor'] as const;

/** A new person. The system makes the password and shows it once. */
export function UserDialog({
  isOpen,
  departments,
  onClose,
  onDone,
}: {
  isOpen: boolean;
  departments: readonly string[];
  onClose: () => void;
  onDone: () => void;
}) {
  const t = useTranslations('departments');
  const tShell = useTranslations('shell');
  const viewer = useViewer();
  const isSupra = viewer.role === 'supra-admin';
  const [name, setName] = useState('');
  const [tenant, setTenant] = useState<string>(viewer.tenant ?? departments[0] ?? '');
  const [role, setRole] = useState<string>('member');
  const [error, setError] = useState<CombinedError | null>(null);
  const [made, setMade] = useState<{ name: string; password: string } | null>(null);
  const [{ fetching }, create] = useMutation(CreateUserMutation);
  const roles = tenant === '' ? ROLES_OF_CLUSTER : ROLES_OF_DEPARTMENT;

  const close = () => {
    setMade(null);
    setError(null);
    onClose();
  };
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setError(null);
    const answer = await create({ input: { name: name.trim(), tenant: tenant || null, role } });
    if (answer.error) return setError(answer.error);
    setMade({ name: name.trim(), password: answer.data?.createUser.password ?? '' });
    setName('');
    onDone();
  };
  return (
    <Dialog opened={isOpen} onClose={close} title={t('createUser')}>
      {made ? (
        <Stack>
          <Alert color="teal" title={t('userCreated', { name: made.name })}>
            {t('passwordOnce')}
          </Alert>
          <Group>
            <Code fz="md">{made.password}</Code>
            <CopyButton value={made.password}>
              {({ copied, copy }) => (
                <Button size="xs" variant="light" onClick={copy}>
                  {copied ? t('copied') : t('copy')}
                </Button>
              )}
            </CopyButton>
          </Group>
          <Group justify="flex-end">
            <Button onClick={close}>{t('done')}</Button>
          </Group>
        </Stack>
      ) : (
        <form onSubmit={submit}>
          <Stack>
            <TextInput
              label={t('name')}
              required
              value={name}
              onChange={(change) => setName(change.currentTarget.value)}
              data-autofocus
            />
            {isSupra && (
              <Select
                label={t('department')}
                data={[{ value: '', label: t('wholeCluster') }, ...departments]}
                value={tenant}
                onChange={(value) => {
                  setTenant(value ?? '');
                  setRole(value ? 'member' : 'auditor');
                }}
                allowDeselect={false}
              />
            )}
            <Select
              label={t('role')}
              data={roles.map((value) => ({ value, label: tShell(`roles.${value}`) }))}
              value={role}
              onChange={(value) => value && setRole(value)}
              allowDeselect={false}
            />
            <Text size="sm" c="dimmed">
              {t(`roleHints.${role}`)}
            </Text>
            {error && <Trouble error={error} />}
            <Group justify="flex-end">
              <Button variant="default" onClick={close}>
                {t('cancel')}
              </Button>
              <Button type="submit" loading={fetching}>
                {t('createUser')}
              </Button>
            </Group>
          </Stack>
        </form>
      )}
    </Dialog>
  );
}
