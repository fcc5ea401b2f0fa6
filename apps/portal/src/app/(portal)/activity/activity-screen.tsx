'use client';
import { Anchor, Button, Group, Skeleton, Stack, Table, Text, TextInput, Title } from '@mantine/core';
import { IconDownload, IconSearch } from '@tabler/icons-react';
import Link from 'next/link';
import { usePathname, useRouter, useSearchParams } from 'next/navigation';
import { useFormatter, useTranslations } from 'next-intl';
import { useEffect, useMemo, useState } from 'react';
import { useClient, useQuery, useSubscription } from 'urql';
import type { EventFieldsFragment } from '@/gen/graphql';
import { EventsQuery, EventsSubscription } from '@/graphql/events';
import { Empty } from '@/parts/empty';
import { notifyFailure } from '@/parts/notify';
import { ScrollBox } from '@/parts/scroll-box';
import { Tag } from '@/parts/tag';
import { Trouble } from '@/parts/trouble';

const PAGE = 100;
/** So many are kept on the page; older ones are asked for again. */
const KEPT_MAX = 2_000;

const COLORS: readonly [RegExp, string][] = [
  [/fail|lost|fenced|down|overcommitted/, 'red'],
  [/degraded|drain|cordon|warning|ending|alert/, 'orange'],
  [/migrat|moved|balanc/, 'violet'],
];
const colorOf = (kind: string): string => COLORS.find(([pattern]) => pattern.test(kind))?.[1] ?? 'gray';

/** What happened, the newest first, as it comes. The filter stands in the address, so that a view can be sent. */
export function ActivityScreen() {
  const t = useTranslations('activity');
  const format = useFormatter();
  const client = useClient();
  const router = useRouter();
  const path = usePathname();
  const search = useSearchParams();
  const filter = search.get('q') ?? '';
  const [{ data, error }, again] = useQuery({
    query: EventsQuery,
    variables: { first: PAGE },
    requestPolicy: 'network-only',
  });
  const [{ data: pushed }] = useSubscription({ query: EventsSubscription });
  const [events, setEvents] = useState<ReadonlyMap<string, EventFieldsFragment>>(new Map());
  const [cursor, setCursor] = useState<string | null>(null);
  const [isFetching, setFetching] = useState(false);

  const add = (more: readonly EventFieldsFragment[]) =>
    setEvents((known) => {
      const all = [...known, ...more.map((event) => [event.id, event] as const)];
      return new Map(all.sort(([a], [b]) => Number(b) - Number(a)).slice(0, KEPT_MAX));
    });
  // biome-ignore lint/correctness/useExhaustiveDependencies: `add` only uses a setter
  useEffect(() => {
    if (!data) return;
    add(data.events.nodes);
    setCursor(data.events.pageInfo.hasNextPage ? (data.events.pageInfo.endCursor ?? null) : null);
  }, [data]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `add` only uses a setter
  useEffect(() => {
    if (pushed?.events) add([pushed.events]);
  }, [pushed]);

  const shown = useMemo(() => {
    const words = filter.toLocaleLowerCase().split(/\s+/).filter(Boolean);
    return [...events.values()].filter(({ kind, text, tenant, drvm, node }) => {
      const whole = `${kind} ${text} ${tenant ?? ''} ${drvm ?? ''} ${node ?? ''}`.toLocaleLowerCase();
      return words.every((word) => whole.includes(word));
    });
  }, [events, filter]);

  const older = async () => {
    setFetching(true);
    const answer = await client.query(EventsQuery, { first: PAGE, after: cursor }).toPromise();
    setFetching(false);
    if (answer.error) return notifyFailure(t('olderFailed'), answer.error);
    add(answer.data?.events.nodes ?? []);
    const page = answer.data?.events.pageInfo;
    setCursor(page?.hasNextPage ? (page.endCursor ?? null) : null);
  };
  const setFilter = (value: string) => {
    const next = new URLSearchParams(search);
    if (value) next.set('q', value);
    else next.delete('q');
    router.replace(`${path}?${next}`, { scroll: false });
  };

  if (!data) return error ? <Trouble error={error} onRetry={() => again()} /> : <Skeleton h={240} />;
  return (
    <Stack gap="lg">
      <Group justify="space-between">
        <Title order={1} fz={26}>
          {t('title')}
        </Title>
        <Button
          variant="default"
          leftSection={<IconDownload size={18} aria-hidden />}
          onClick={() => save(shown, 'drvs-events.csv')}
        >
          {t('export')}
        </Button>
      </Group>
      {error && <Trouble error={error} />}
      <TextInput
        label={t('filter')}
        description={t('filterHint')}
        leftSection={<IconSearch size={16} aria-hidden />}
        value={filter}
        onChange={(change) => setFilter(change.currentTarget.value)}
        maw={480}
        type="search"
      />
      {shown.length === 0 ? (
        <Empty title={t('none')} hint={filter ? t('noneHintFilter') : t('noneHint')} />
      ) : (
        <ScrollBox label={t('title')} isCard>
          <Table verticalSpacing="xs" horizontalSpacing="md">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t('at')}</Table.Th>
                <Table.Th>{t('kind')}</Table.Th>
                <Table.Th>{t('what')}</Table.Th>
                <Table.Th>{t('where')}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {shown.map(({ id, at, kind, text, tenant, drvm, node }) => (
                <Table.Tr key={id}>
                  <Table.Td className="numeric" style={{ whiteSpace: 'nowrap' }}>
                    {format.dateTime(new Date(at), { dateStyle: 'short', timeStyle: 'medium' })}
                  </Table.Td>
                  <Table.Td>
                    <Tag color={colorOf(kind)}>{kind}</Tag>
                  </Table.Td>
                  <Table.Td miw={240}>{text}</Table.Td>
                  <Table.Td>
                    <Text size="sm" component="span">
                      {node && (
                        <Anchor component={Link} size="sm" href={`/nodes/${encodeURIComponent(node)}`}>
                          {node}
                        </Anchor>
                      )}
                      {node && drvm && ' · '}
                      {drvm && (
                        <Anchor component={Link} size="sm" href={`/drvms/${encodeURIComponent(drvm)}`}>
                          {drvm}
                        </Anchor>
                      )}
                      {tenant && ` (${tenant})`}
                    </Text>
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </ScrollBox>
      )}
      {cursor && (
        <Group>
          <Button variant="default" onClick={older} loading={isFetching}>
            {t('older')}
          </Button>
        </Group>
      )}
    </Stack>
  );
}

/** RFC 4180, with the formula characters of spreadsheets made harmless. */
function save(events: readonly EventFieldsFragment[], name: string): void {
  const field = (value: string | null | undefined) =>
    `"${(value ?? '').replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;
  const lines = events.map(({ at, kind, tenant, drvm, node, text }) =>
    [at, kind, tenant, drvm, node, text].map(field).join(','),
  );
  const blob = new Blob([['at,kind,department,drvm,node,text', ...lines, ''].join('\r\n')], {
    type: 'text/csv',
  });
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
