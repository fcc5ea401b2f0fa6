import {
  IconActivity,
  IconLayoutGrid,
  IconListCheck,
  IconRoute,
  IconServer2,
  IconUsersGroup,
} from '@tabler/icons-react';

/** The screens of the portal, in the order of the navigation; `key` with the letter goes there (`g` first). */
export const PLACES = [
  { href: '/', key: 'cluster', letter: 'c', icon: IconLayoutGrid },
  { href: '/drvms', key: 'drvms', letter: 'd', icon: IconServer2 },
  { href: '/plans', key: 'plans', letter: 'p', icon: IconRoute },
  { href: '/operations', key: 'operations', letter: 'o', icon: IconListCheck },
  { href: '/activity', key: 'activity', letter: 'a', icon: IconActivity },
  { href: '/departments', key: 'departments', letter: 't', icon: IconUsersGroup },
] as const;
