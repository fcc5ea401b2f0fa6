'use client';
import { Group, Progress, Stack, Text } from '@mantine/core';
import { useTranslations } from 'next-intl';
import { OperationsQuery } from '@/graphql/operations';
import { Awaited } from '@/parts/awaited';
import { Empty } from '@/parts/empty';
import { ListTable } from '@/parts/list-table';
import { OperationActions } from '@/parts/operation-actions';
import { ScreenHead } from '@/parts/screen-head';
import { StateBadge } from '@/parts/state-badge';
import { SubjectLink } from '@/parts/subject-link';
import { Trouble } from '@/parts/trouble';
import { useAsked } from '@/parts/use-asked';
import { useMoment } from '@/parts/use-moment';

const REFRESH_MS = 2_000;
const SHOWN = 100;

/** All that was asked for, running, finished or failed: a record that does not vanish as a toast does. */
export function OperationsScreen() {
  const t = useTranslations('operations');
  const tOperation = useTranslations('operation');
  const moment = useMoment();
  const { data, error, refresh } = useAsked(
    { query: OperationsQuery, variables: { first: SHOWN } },
    REFRESH_MS,
  );

  if (!data) return <Awaited error={error} onRetry={refresh} height={240} />;
  const operations = data.operations.nodes;
  return (
    <Stack gap="lg">
      <ScreenHead title={t('title')} />
      {error && <Trouble error={error} />}
      {operations.length === 0 ? (
        <Empty title={t('none')} hint={t('noneHint')} />
      ) : (
        <ListTable
          label={t('title')}
          isLoose
          heads={[t('kind'), t('subject'), t('state'), t('by'), t('at'), t('actions')]}
        >
          {operations.map((operation) => {
            const isGoing = operation.state === 'running' || operation.state === 'queued';
            return (
              <tr key={operation.id}>
                <td>
                  {tOperation.has(`kinds.${operation.kind}`)
                    ? tOperation(`kinds.${operation.kind}`)
                    : operation.kind}
                </td>
                <td>
                  <SubjectLink subject={operation.subject} />
                </td>
                <td>
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
                </td>
                <td>{operation.requestedBy}</td>
                <td className="numeric">{moment(operation.createdAt)}</td>
                <td>
                  <OperationActions operation={operation} onDone={refresh} />
                </td>
              </tr>
            );
          })}
        </ListTable>
      )}
    </Stack>
  );
}
