'use client';
import { Button, Group, NumberInput, SimpleGrid, Stack, Text, TextInput } from '@mantine/core';
import { useTranslations } from 'next-intl';
import { type FormEvent, useState } from 'react';
import { type CombinedError, useMutation } from 'urql';
import { CreateDepartmentMutation } from '@/graphql/departments';
import { Dialog } from '@/parts/dialog';
import { notifyDone } from '@/parts/notify';
import { Trouble } from '@/parts/trouble';

type Amount = number | string;
const orNull = (value: Amount): number | null => (typeof value === 'number' ? value : null);

/** A new department and its quota; an empty field is no limit. What was typed stays when it is refused. */
export function DepartmentDialog({
  isOpen,
  onClose,
  onDone,
}: {
  isOpen: boolean;
  onClose: () => void;
  onDone: () => void;
}) {
  const t = useTranslations('departments');
  const [name, setName] = useState('');
  const [cpu, setCpu] = useState<Amount>('');
  const [memoryMiB, setMemoryMiB] = useState<Amount>('');
  const [diskGiB, setDiskGiB] = useState<Amount>('');
  const [error, setError] = useState<CombinedError | null>(null);
  const [{ fetching }, create] = useMutation(CreateDepartmentMutation);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setError(null);
    const quota = { cpu: orNull(cpu), memoryMiB: orNull(memoryMiB), diskGiB: orNull(diskGiB) };
    const answer = await create({ name: name.trim(), quota });
    if (answer.error) return setError(answer.error);
    notifyDone(t('created', { name: name.trim() }));
    setName('');
    setCpu('');
    setMemoryMiB('');
    setDiskGiB('');
    onDone();
    onClose();
  };
  return (
    <Dialog opened={isOpen} onClose={onClose} title={t('create')}>
      <form onSubmit={submit}>
        <Stack>
          <TextInput
            label={t('name')}
            description={t('nameHint')}
            required
            value={name}
            onChange={(change) => setName(change.currentTarget.value)}
            data-autofocus
          />
          <Text size="sm">{t('quotaHint')}</Text>
          <SimpleGrid cols={{ base: 1, xs: 3 }}>
            <NumberInput label="vCPU" min={0} step={0.5} decimalScale={3} value={cpu} onChange={setCpu} />
            <NumberInput
              label={t('memoryMiB')}
              min={0}
              step={256}
              allowDecimal={false}
              value={memoryMiB}
              onChange={setMemoryMiB}
            />
            <NumberInput
              label={t('diskGiB')}
              min={0}
              allowDecimal={false}
              value={diskGiB}
              onChange={setDiskGiB}
            />
          </SimpleGrid>
          {error && <Trouble error={error} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {t('cancel')}
            </Button>
            <Button type="submit" loading={fetching}>
              {t('create')}
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}
