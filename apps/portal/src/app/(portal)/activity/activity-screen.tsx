'use client';
import { Button, Group, Stack, Text, TextInput } from '@mantine/core';
import { IconDownload, IconSearch } from '@tabler/icons-react';
import { useTranslations } from 'next-intl';
import { useEffect, useMemo, useState } from 'react';
import { useClient, useSubscription } from 'urql';
import type { EventFieldsFragment } from '@/gen/graphql';
import { EventsQuery, EventsSubscription } from '@/graphql/events';
import { Awaited } from '@/parts/awaited';
import { Empty } from '@/parts/empty';
import { DrvmLink, NodeLink } from '@/parts/links';
import { ListTable } from '@/parts/list-table';
import { notifyFailure } from '@/parts/notify';
import { ScreenHead } from '@/parts/screen-head';
import { Tag } from '@/parts/tag';
import { Trouble } from '@/parts/trouble';
import { useAddress } from '@/parts/use-address';
import { useAsked } from '@/parts/use-asked';
import { useMoment } from '@/parts/use-moment';

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
  const moment = useMoment();
  const client = useClient();
  const { written, choose } = useAddress();
  const filter = written('q') ?? '';
  const { data, error, refresh } = useAsked({
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

  if (!data) return <Awaited error={error} onRetry={refresh} height={240} />;
  return (
    <Stack gap="lg">
      <ScreenHead title={t('title')}>
        <Button
          variant="default"
          leftSection={<IconDownload size={18} aria-hidden />}
          onClick={() => save(shown, 'drvs-events.csv')}
        >
          {t('export')}
        </Button>
      </ScreenHead>
      {error && <Trouble error={error} />}
      <TextInput
        label={t('filter')}
        description={t('filterHint')}
        leftSection={<IconSearch size={16} aria-hidden />}
        value={filter}
        onChange={(change) => choose({ q: change.currentTarget.value })}
        maw={480}
        type="search"
      />
      {shown.length === 0 ? (
        <Empty title={t('none')} hint={filter ? t('noneHintFilter') : t('noneHint')} />
      ) : (
        <ListTable label={t('title')} heads={[t('at'), t('kind'), t('what'), t('where')]}>
          {shown.map(({ id, at, kind, text, tenant, drvm, node }) => (
            <tr key={id}>
              <td className="numeric" style={{ whiteSpace: 'nowrap' }}>
                {moment(at)}
              </td>
              <td>
                <Tag color={colorOf(kind)}>{kind}</Tag>
              </td>
              <td style={{ minWidth: 240 }}>{text}</td>
              <td>
                <Text size="sm" component="span">
                  {node && <NodeLink name={node} size="sm" />}
                  {node && drvm && ' · '}
                  {drvm && <DrvmLink name={drvm} size="sm" />}
                  {tenant && ` (${tenant})`}
                </Text>
              </td>
            </tr>
          ))}
        </ListTable>
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
