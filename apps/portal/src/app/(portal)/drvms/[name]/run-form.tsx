'use client';
import { Alert, Button, Modal, Select, Stack, TextInput } from '@mantine/core';
import { IconPlayerPlay } from '@tabler/icons-react';
import { useTranslations } from 'next-intl';
import { type FormEvent, useState } from 'react';
import { useMutation } from 'urql';
import { RunProgramMutation } from '@/graphql/drvm';
import { said } from '@/parts/errors';
import { splitWords } from './split-words';

/** Starts a program that is in the DRVM's files; what it prints appears below. */
export function RunForm({
  drvm,
  nodes,
  onStarted,
}: {
  drvm: string;
  nodes: string[];
  onStarted: (pid: number) => void;
}) {
  const t = useTranslations('run');
  const [isOpen, setOpen] = useState(false);
  const [program, setProgram] = useState('/bin/primes');
  const [words, setWords] = useState('');
  const [node, setNode] = useState<string | null>(null);
  const [{ error, fetching }, run] = useMutation(RunProgramMutation);
  const failure = error ? said(error) : null;

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const requestKey = crypto.randomUUID();
    const { data } = await run({ drvm, input: { program, args: splitWords(words), node, requestKey } });
    if (!data) return;
    onStarted(data.runProgram.pid);
    setOpen(false);
  };
  return (
    <>
      <Button
        variant="light"
        leftSection={<IconPlayerPlay size={16} aria-hidden />}
        onClick={() => setOpen(true)}
      >
        {t('run')}
      </Button>
      <Modal
        opened={isOpen}
        onClose={() => setOpen(false)}
        title={t('title')}
        closeButtonProps={{ 'aria-label': t('close') }}
      >
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
            {failure && (
              <Alert color="red" role="alert" title={failure.message}>
                {failure.hint}
              </Alert>
            )}
            <Button type="submit" loading={fetching}>
              {t('run')}
            </Button>
          </Stack>
        </form>
      </Modal>
    </>
  );
}
