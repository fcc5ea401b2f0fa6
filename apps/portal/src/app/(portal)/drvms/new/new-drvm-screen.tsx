'use client';
import {
  Button,
  Group,
  NativeSelect,
  NumberInput,
  Paper,
  SegmentedControl,
  SimpleGrid,
  Stack,
  Text,
  TextInput,
  Title,
} from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import dynamic from 'next/dynamic';
import { useRouter } from 'next/navigation';
import { useTranslations } from 'next-intl';
import { type FormEvent, useEffect, useState } from 'react';
import { useMutation, useQuery } from 'urql';
import { QuotasQuery } from '@/graphql/departments';
import { CreateDrvmMutation, PlanDrvmMutation } from '@/graphql/drvm';
import { useAmounts } from '@/parts/amounts';
import { drvmHref } from '@/parts/links';
import { Heads } from '@/parts/list-table';
import { Refusal } from '@/parts/refusal';
import { ScreenHead } from '@/parts/screen-head';
import { ScrollBox } from '@/parts/scroll-box';
import { Table } from '@/parts/table';
import { useViewer } from '@/session/session';
import { QuotaMeters } from './quota-meters';
import type { WishedDrvm } from './request-words';

const NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const SameRequest = dynamic(() => import('./same-request').then((loaded) => loaded.SameRequest), {
  ssr: false,
});
const PLAN_AFTER_MS = 400;

/** Whether all is said that a plan needs. */
const isWhole = ({ tenant, cpu, memoryMiB }: WishedDrvm): boolean =>
  tenant !== null && cpu > 0 && memoryMiB > 0;

/** A DRVM asked for by what it needs; the placement that the same request would get is shown as one types. */
export function NewDrvmScreen() {
  const t = useTranslations('newDrvm');
  const { amount } = useAmounts();
  const router = useRouter();
  const viewer = useViewer();
  const [{ data }] = useQuery({ query: QuotasQuery });
  const [name, setName] = useState('');
  const [chosenTenant, setTenant] = useState<string | null>(null);
  const [cpu, setCpu] = useState<number | string>(0.6);
  const [memoryMiB, setMemory] = useState<number | string>(768);
  const [diskGiB, setDisk] = useState<number | string>(3);
  const [nodeCount, setNodeCount] = useState<number | string>('');
  const [policy, setPolicy] = useState('spread');
  const [showsWords, setShowsWords] = useState(false);
  const [planned, plan] = useMutation(PlanDrvmMutation);
  const [created, create] = useMutation(CreateDrvmMutation);

  const tenants = data?.tenants.nodes.map((tenant) => tenant.name) ?? [];
  const tenant = viewer.tenant ?? chosenTenant ?? tenants[0] ?? null;
  const input = {
    name: NAME.test(name) ? name : 'preview',
    tenant,
    cpu: Number(cpu),
    memoryMiB: Number(memoryMiB),
    diskGiB: Number(diskGiB),
    nodeCount: nodeCount === '' ? null : Number(nodeCount),
    policy,
  };
  const department = data?.tenants.nodes.find((each) => each.name === tenant);
  const isComplete = isWhole(input);
  const [wished] = useDebouncedValue(JSON.stringify(input), PLAN_AFTER_MS);
  useEffect(() => {
    const asked = JSON.parse(wished) as WishedDrvm;
    if (isWhole(asked)) void plan({ input: asked });
  }, [wished, plan]);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const { data: answer } = await create({ input });
    if (answer) router.push(drvmHref(answer.createDrvm.drvm.name, answer.createDrvm.drvm.id));
  };

  return (
    <Stack gap="lg" maw={920}>
      <ScreenHead title={t('title')} what={t('what')} />
      <form onSubmit={submit}>
        <Stack gap="lg">
          <Paper className="card" p="lg" radius="md">
            <SimpleGrid cols={{ base: 1, sm: 2 }}>
              <TextInput
                label={t('name')}
                description={t('nameHint')}
                value={name}
                onChange={(event) => setName(event.currentTarget.value)}
                error={name !== '' && !NAME.test(name) ? t('nameWrong') : null}
                required
                data-autofocus
              />
              {viewer.tenant ? (
                <TextInput
                  label={t('department')}
                  description={t('departmentHint')}
                  value={viewer.tenant}
                  readOnly
                />
              ) : (
                <NativeSelect
                  label={t('department')}
                  description={t('departmentHint')}
                  data={tenants}
                  value={tenant ?? ''}
                  onChange={(event) => setTenant(event.currentTarget.value)}
                  required
                />
              )}
              <NumberInput
                label={t('cpu')}
                description={t('cpuHint')}
                value={cpu}
                onChange={setCpu}
                min={0.05}
                step={0.1}
                decimalScale={2}
                suffix=" vCPU"
                required
              />
              <NumberInput
                label={t('memory')}
                description={t('memoryHint')}
                value={memoryMiB}
                onChange={setMemory}
                min={192}
                step={64}
                suffix=" MiB"
                required
              />
              <NumberInput
                label={t('disk')}
                description={t('diskHint')}
                value={diskGiB}
                onChange={setDisk}
                min={0}
                suffix=" GiB"
              />
              <NumberInput
                label={t('nodes')}
                description={t('nodesHint')}
                value={nodeCount}
                onChange={setNodeCount}
                min={1}
                placeholder={t('nodesAny')}
              />
            </SimpleGrid>
            <Group mt="md" gap="sm">
              <Text size="sm" id="policy">
                {t('policy')}
              </Text>
              <SegmentedControl
                aria-labelledby="policy"
                value={policy}
                onChange={setPolicy}
                data={[
                  { value: 'spread', label: t('spread') },
                  { value: 'pack', label: t('pack') },
                ]}
                style={{ flexWrap: 'wrap' }}
              />
            </Group>
          </Paper>
          {department && (
            <Paper className="card" p="lg" radius="md" component="section" aria-label={t('quota')}>
              <Title order={2} fz={16} mb="xs">
                {t('quota')}
              </Title>
              <QuotaMeters department={department} asked={input} />
            </Paper>
          )}
          <Paper className="card" p="lg" radius="md" component="section" aria-live="polite">
            <Title order={2} fz={16} mb="xs">
              {t('plan')}
            </Title>
            {planned.error ? (
              <Refusal error={planned.error} color="orange" />
            ) : planned.data ? (
              <ScrollBox label={t('plan')}>
                <Table>
                  <Heads of={[t('node'), t('cpu'), t('memory'), t('disk'), t('reason')]} />
                  <tbody>
                    {planned.data.planDrvm.steps.map((step) => (
                      <tr key={step.node}>
                        <td>{step.node}</td>
                        <td className="numeric">{amount('cpu', step.cpu)}</td>
                        <td className="numeric">{amount('memoryMiB', step.memoryMiB)}</td>
                        <td className="numeric">{amount('diskGiB', step.diskGiB)}</td>
                        <td>
                          <Text size="xs" c="dimmed">
                            {step.reason}
                          </Text>
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </Table>
              </ScrollBox>
            ) : (
              <Text c="dimmed" size="sm">
                {t('planning')}
              </Text>
            )}
          </Paper>
          <details onToggle={(event) => setShowsWords(event.currentTarget.open)}>
            <summary>{t('sameRequest')}</summary>
            {showsWords && <SameRequest wished={{ ...input, name: NAME.test(name) ? name : 'NAME' }} />}
          </details>
          <Refusal error={created.error} />
          <Group>
            <Button type="submit" loading={created.fetching} disabled={!isComplete || !NAME.test(name)}>
              {t('create')}
            </Button>
            <Button variant="subtle" color="gray" onClick={() => router.back()}>
              {t('back')}
            </Button>
          </Group>
        </Stack>
      </form>
    </Stack>
  );
}
