'use client';
import { Button, Checkbox, Group, List, NumberInput, SimpleGrid, Skeleton, Stack, Text } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { useTranslations } from 'next-intl';
import { type FormEvent, useEffect, useState } from 'react';
import { type CombinedError, useMutation } from 'urql';
import type { DrvmDetailQuery, ResizeDrvmInput } from '@/gen/graphql';
import { PlanResizeMutation, ResizeDrvmMutation } from '@/graphql/resize';
import { useAmounts } from '@/parts/amounts';
import { byName } from '@/parts/by-name';
import { Dialog } from '@/parts/dialog';
import { Rejected } from '@/parts/rejected';
import { Trouble } from '@/parts/trouble';
import { useLiveCluster } from '@/parts/use-live-cluster';

type Drvm = NonNullable<DrvmDetailQuery['drvm']>;
type Amount = number | string;
const PLAN_AFTER_MS = 400;

const summed = (drvm: Drvm, pick: (slice: Drvm['slices'][number]) => number): number =>
  Math.round(drvm.slices.reduce((sum, slice) => sum + pick(slice), 0) * 1_000) / 1_000;
/** What was typed, where it is another number than `now`. */
const changed = (typed: Amount, now: number): number | undefined =>
  typed === '' || Number(typed) === now ? undefined : Number(typed);

/** New sums for a DRVM that runs; what would come of them is shown before anything is changed. */
export function ResizeDialog({ drvm, onClose }: { drvm: Drvm; onClose: () => void }) {
  const t = useTranslations('resize');
  const { amount } = useAmounts();
  const { nodes } = useLiveCluster();
  // As it was when the dialog opened: the fields say what shall be another.
  const [before] = useState(() => ({
    cpu: summed(drvm, (slice) => slice.cpu),
    memoryMiB: summed(drvm, (slice) => slice.memoryMiB),
    diskGiB: summed(drvm, (slice) => slice.diskGiB),
    ceilingCpu: summed(drvm, (slice) => slice.ceilingCpu),
    nodes: drvm.slices.map(({ node }) => node),
  }));
  const [cpu, setCpu] = useState<Amount>(before.cpu);
  const [memoryMiB, setMemory] = useState<Amount>(before.memoryMiB);
  const [diskGiB, setDisk] = useState<Amount>(before.diskGiB);
  const [ceilingCpu, setCeiling] = useState<Amount>(before.ceilingCpu);
  const [nodeCount, setNodeCount] = useState<Amount>(before.nodes.length);
  const [chosen, setChosen] = useState<string[]>(before.nodes);
  const [planned, plan] = useMutation(PlanResizeMutation);
  const [resizing, resize] = useMutation(ResizeDrvmMutation);
  const [operation, setOperation] = useState<string | null>(null);
  const [refusal, setRefusal] = useState<CombinedError | null>(null);
  const [previewed, setPreviewed] = useState<number | null>(null);

  const addNodes = chosen.filter((name) => !before.nodes.includes(name));
  const removeNodes = before.nodes.filter((name) => !chosen.includes(name));
  const namesNodes = addNodes.length + removeNodes.length > 0;
  const ceiling = changed(ceilingCpu, before.ceilingCpu);
  const input: ResizeDrvmInput = {
    cpu: changed(cpu, before.cpu),
    memoryMiB: changed(memoryMiB, before.memoryMiB),
    diskGiB: changed(diskGiB, before.diskGiB),
    ceiling: ceiling === undefined ? undefined : { cpu: ceiling },
    ...(namesNodes ? { addNodes, removeNodes } : { nodeCount: changed(nodeCount, before.nodes.length) }),
  };
  const wish = JSON.stringify(input);
  const [wished] = useDebouncedValue(wish, PLAN_AFTER_MS);
  const asksSomething = wished !== '{}';
  const { id, generation } = drvm;
  useEffect(() => {
    setPreviewed(null);
    if (!asksSomething || operation !== null) return;
    void plan({ id, input: JSON.parse(wished) }).then(({ data }) => {
      if (data) setPreviewed(generation);
    });
  }, [id, generation, wished, asksSomething, operation, plan]);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setRefusal(null);
    const answer = await resize({ id, generation: previewed, input });
    if (answer.error) setRefusal(answer.error);
    else setOperation(answer.data?.resizeDrvm.id ?? null);
  };
  const steps = planned.data?.planResize.steps ?? [];
  const rejected = planned.data?.planResize.rejected ?? [];
  const names = [...new Set([...before.nodes, ...(nodes ?? []).map(({ name }) => name)])].sort(byName);
  return (
    <Dialog title={t('title', { name: drvm.name })} onClose={onClose} size="xl" operation={operation}>
      <form onSubmit={submit}>
        <Stack>
          <Text size="sm">{t('what')}</Text>
          <SimpleGrid cols={{ base: 1, xs: 2, sm: 3 }}>
            <NumberInput
              label={t('cpu')}
              description={t('now', { amount: amount('cpu', before.cpu) })}
              value={cpu}
              onChange={setCpu}
              min={0.05}
              step={0.1}
              decimalScale={3}
              suffix=" vCPU"
              data-autofocus
            />
            <NumberInput
              label={t('memory')}
              description={t('now', { amount: amount('memoryMiB', before.memoryMiB) })}
              value={memoryMiB}
              onChange={setMemory}
              min={1}
              step={64}
              allowDecimal={false}
              suffix=" MiB"
            />
            <NumberInput
              label={t('disk')}
              description={t('now', { amount: amount('diskGiB', before.diskGiB) })}
              value={diskGiB}
              onChange={setDisk}
              min={0}
              allowDecimal={false}
              suffix=" GiB"
            />
            <NumberInput
              label={t('ceiling')}
              description={t('now', { amount: amount('cpu', before.ceilingCpu) })}
              value={ceilingCpu}
              onChange={setCeiling}
              min={0.05}
              step={0.1}
              decimalScale={3}
              suffix=" vCPU"
            />
            <NumberInput
              label={t('nodeCount')}
              description={t(namesNodes ? 'nodesNamed' : 'nodesAny')}
              value={namesNodes ? chosen.length : nodeCount}
              onChange={setNodeCount}
              disabled={namesNodes}
              min={1}
              allowDecimal={false}
            />
          </SimpleGrid>
          <Checkbox.Group label={t('nodes')} description={t('nodesHint')} value={chosen} onChange={setChosen}>
            <Group mt="xs">
              {names.map((name) => (
                <Checkbox key={name} value={name} label={name} />
              ))}
            </Group>
          </Checkbox.Group>
          <section aria-label={t('preview')} aria-live="polite">
            <Text fw={600} size="sm" mb={4}>
              {t('preview')}
            </Text>
            {!asksSomething ? (
              <Text size="sm" c="dimmed">
                {t('nothing')}
              </Text>
            ) : planned.error ? (
              <Trouble error={planned.error} />
            ) : previewed === null ? (
              <Skeleton h={48} />
            ) : (
              <List size="sm" spacing={4}>
                {steps.map((step) => (
                  <List.Item key={`${step.node}/${step.action}`}>
                    <b>
                      {t.has(`actions.${step.action}`)
                        ? t(`actions.${step.action}`, { node: step.node })
                        : step.node}
                    </b>
                    {step.action !== 'slice.remove' &&
                      ` ${amount('cpu', step.cpu)} · ${amount('memoryMiB', step.memoryMiB)} · ${amount('diskGiB', step.diskGiB)}`}
                    <Text size="xs" c="dimmed" lang="en">
                      {step.reason}
                    </Text>
                  </List.Item>
                ))}
              </List>
            )}
            {previewed !== null && (
              <Rejected title={t('rejected', { count: rejected.length })} of={rejected} />
            )}
          </section>
          {refusal && <Trouble error={refusal} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {t('cancel')}
            </Button>
            <Button
              type="submit"
              loading={resizing.fetching}
              disabled={!asksSomething || previewed === null || wish !== wished}
            >
              {t('resize')}
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}
