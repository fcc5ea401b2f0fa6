'use client';
import { Button, Select, Stack, TextInput } from '@mantine/core';
import { useTranslations } from 'next-intl';
import { type FormEvent, useState } from 'react';
import { useMutation } from 'urql';
import { RunProgramMutation } from '@/graphql/drvm';
import { Dialog } from '@/parts/dialog';
import { Refusal } from '@/parts/refusal';
import { splitWords } from './split-words';

/** Starts a program that is in the DRVM's files; what it prints appears below. */
export function RunDialog({
  drvm,
  nodes,
  onStarted,
  onClose,
}: {
  drvm: string;
  nodes: string[];
  onStarted: (pid: number) => void;
  onClose: () => void;
}) {
  const t = useTranslations('run');
  const [program, setProgram] = useState('/bin/primes');
  const [words, setWords] = useState('');
  const [node, setNode] = useState<string | null>(null);
  const [{ error, fetching }, run] = useMutation(RunProgramMutation);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const requestKey = crypto.randomUUID();
    const { data } = await run({ drvm, input: { program, args: splitWords(words), node, requestKey } });
    if (!data) return;
    onStarted(data.runProgram.pid);
    onClose();
  };
  return (
    <Dialog title={t('title')} onClose={onClose}>
      <form onSubmit={submit}>
        <Stack>
          <TextInput
            label={t('program')}
            description={t('programHint')}
            value={program}
            onChange={(event) => setProgram(event.currentTarget.value)}
            required
            data-autofocus
          />
          <TextInput
            label={t('arguments')}
            description={t('argumentsHint')}
            value={words}
            onChange={(event) => setWords(event.currentTarget.value)}
          />
          <Select
            label={t('node')}
            placeholder={t('anyNode')}
            data={nodes}
            value={node}
            onChange={setNode}
            clearable
          />
          <Refusal error={error} />
          <Button type="submit" loading={fetching}>
            {t('run')}
          </Button>
        </Stack>
      </form>
    </Dialog>
  );
}
