'use client';
import '@mantine/spotlight/styles.css';
import { Spotlight, type SpotlightActionData, type SpotlightActionGroupData } from '@mantine/spotlight';
import { IconBox, IconPlus, IconSearch, IconServer } from '@tabler/icons-react';
import { useRouter } from 'next/navigation';
import { useTranslations } from 'next-intl';
import { useQuery } from 'urql';
import { PaletteQuery } from '@/graphql/palette';
import { drvmHref, nodeHref } from '@/parts/links';
import { mayManageDrvms, useViewer } from '@/session/session';
import { placesFor } from './places';

/** Goes anywhere and finds nodes and DRVMs by name: Ctrl or Cmd with K. Loaded when it is first wanted. */
export function Palette({ store }: { store: Parameters<typeof Spotlight>[0]['store'] }) {
  const t = useTranslations('palette');
  const tShell = useTranslations('shell');
  const tStates = useTranslations('states');
  const router = useRouter();
  const viewer = useViewer();
  const [{ data }] = useQuery({ query: PaletteQuery, requestPolicy: 'cache-and-network' });
  const state = (word: string) => (tStates.has(word) ? tStates(word) : word);

  const places: SpotlightActionData[] = placesFor(viewer.role).map(({ href, key, icon: Icon }) => ({
    id: `place-${key}`,
    label: tShell(key),
    leftSection: <Icon size={18} aria-hidden />,
    onClick: () => router.push(href),
  }));
  if (mayManageDrvms(viewer.role)) {
    places.push({
      id: 'create-drvm',
      label: t('createDrvm'),
      leftSection: <IconPlus size={18} aria-hidden />,
      onClick: () => router.push('/drvms/new'),
    });
  }
  const drvms = (data?.drvms.nodes ?? []).map(
    (drvm): SpotlightActionData => ({
      id: `drvm-${drvm.id}`,
      label: drvm.name,
      description: `${drvm.tenant} · ${state(drvm.state)}`,
      leftSection: <IconBox size={18} aria-hidden />,
      onClick: () => router.push(drvmHref(drvm.name, drvm.id)),
    }),
  );
  const nodes = (data?.nodes.nodes ?? []).map(
    (node): SpotlightActionData => ({
      id: `node-${node.id}`,
      label: node.name,
      description: state(node.state),
      leftSection: <IconServer size={18} aria-hidden />,
      onClick: () => router.push(nodeHref(node.name)),
    }),
  );
  const groups: SpotlightActionGroupData[] = [
    { group: t('goTo'), actions: places },
    { group: tShell('drvms'), actions: drvms },
    { group: t('nodes'), actions: nodes },
  ];
  return (
    <Spotlight
      store={store}
      actions={groups}
      shortcut={null}
      limit={12}
      highlightQuery
      nothingFound={t('nothing')}
      searchProps={{
        leftSection: <IconSearch size={18} aria-hidden />,
        placeholder: t('placeholder'),
        'aria-label': t('placeholder'),
      }}
    />
  );
}
