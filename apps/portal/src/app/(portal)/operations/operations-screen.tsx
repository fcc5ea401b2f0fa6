'use client';
import { Button, Group, Progress, Skeleton, Stack, Table, Text, Title } from '@mantine/core';
import { useFormatter, useTranslations } from 'next-intl';
import { useEffect } from 'react';
import { useMutation, useQuery } from 'urql';
import { CancelOperationMutation, OperationsQuery } from '@/graphql/operations';
import { Empty } from '@/parts/empty';
import { notifyFailure } from '@/parts/notify';
import { ScrollBox } from '@/parts/scroll-box';
import { StateBadge } from '@/parts/state-badge';
import { Trouble } from '@/parts/trouble';
import { mayManageDrvms, useViewer } from '@/session/session';

const REFRESH_MS = 2_000;
const SHOWN = 100;

/** All that was asked for, running, finished or failed: a record that does not vanish as a toast does. */
export function OperationsScreen() {
  const t = useTranslations('operations');
  const tOperation = useTranslations('operation');
  const format = useFormatter();
  const viewer = useViewer();
  const [{ data, error }, again] = useQuery({ query: OperationsQuery, variables: { first: SHOWN } });
  const [, cancel] = useMutation(CancelOperationMutation);
  useEffect(() => {
    const timer = setInterval(() => again({ requestPolicy: 'network-only' }), REFRESH_MS);
    return () => clearInterval(timer);
  }, [again]);

  if (!data) return error ? <Trouble error={error} onRetry={() => again()} /> : <Skeleton h={240} />;
  const operations = data.operations.nodes;
  const stop = async (id: string) => {
    const answer = await cancel({ id });
    if (answer.error) notifyFailure(t('cancelFailed'), answer.error);
  };
  return (
    <Stack gap="lg">
      <Title order={1} fz={26}>
        {t('title')}
      </Title>
      {error && <Trouble error={error} />}
      {operations.length === 0 ? (
        <Empty title={t('none')} hint={t('noneHint')} />
      ) : (
        <ScrollBox label={t('title')} isCard>
          <Table verticalSpacing="sm" horizontalSpacing="md">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t('kind')}</Table.Th>
                <Table.Th>{t('subject')}</Table.Th>
                <Table.Th>{t('state')}</Table.Th>
                <Table.Th>{t('by')}</Table.Th>
                <Table.Th>{t('at')}</Table.Th>
                <Table.Th>{t('actions')}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {operations.map((operation) => {
                const isGoing = operation.state === 'running' || operation.state === 'queued';
                return (
                  <Table.Tr key={operation.id}>
                    <Table.Td>
                      {tOperation.has(`kinds.${operation.kind}`)
                        ? tOperation(`kinds.${operation.kind}`)
                        : operation.kind}
                    </Table.Td>
                    <Table.Td>{operation.subject}</Table.Td>
                    <Table.Td>
                      <Group gap="xs" wrap="nowrap">
                        <StateBadge state={operation.state} />
                        {isGoing && (
                          <Progress
                            w={80}
                            value={operation.progress * 100}
                            aria-label={tOperation('progress', {
                              percent: Math.round(operation.progress * 100),
                            })}
                          />
                        )}
                      </Group>
                      {operation.error && (
                        <Text size="xs" c="dimmed" maw={420}>
                          {operation.error.message} {operation.error.hint}
                        </Text>
                      )}
                    </Table.Td>
                    <Table.Td>{operation.requestedBy}</Table.Td>
                    <Table.Td className="numeric">
                      {format.dateTime(new Date(operation.createdAt), {
                        dateStyle: 'short',
                        timeStyle: 'medium',
                      })}
                    </Table.Td>
                    <Table.Td>
                      {isGoing && mayManageDrvms(viewer.role) && (
                        <Button
                          size="compact-xs"
                          variant="light"
                          color="red"
                          onClick={() => stop(operation.id)}
                        >
                          {t('cancel')}
                        </Button>
                      )}
                    </Table.Td>
                  </Table.Tr>
                );
              })}
            </Table.Tbody>
          </Table>
        </ScrollBox>
      )}
    </Stack>
  );
}
