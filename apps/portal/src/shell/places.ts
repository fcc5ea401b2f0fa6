import {
  IconActivity,
  IconBell,
  IconBolt,
  IconLayoutGrid,
  IconListCheck,
  IconReportAnalytics,
  IconRoute,
  IconServer2,
  IconUsersGroup,
} from '@tabler/icons-react';
import { seesUsage } from '@/session/session';

/** The screens of the portal, in the order of the navigation; `key` with the letter goes there (`g` first). */
const PLACES = [
  { href: '/', key: 'cluster', letter: 'c', icon: IconLayoutGrid },
  { href: '/drvms', key: 'drvms', letter: 'd', icon: IconServer2 },
  { href: '/plans', key: 'plans', letter: 'p', icon: IconRoute },
  { href: '/energy', key: 'energy', letter: 'e', icon: IconBolt },
  { href: '/usage', key: 'usage', letter: 'u', icon: IconReportAnalytics, isFor: seesUsage },
  { href: '/alerts', key: 'alerts', letter: 'l', icon: IconBell },
  { href: '/operations', key: 'operations', letter: 'o', icon: IconListCheck },
  { href: '/activity', key: 'activity', letter: 'a', icon: IconActivity },
  { href: '/departments', key: 'departments', letter: 't', icon: IconUsersGroup },
] as const;

/** Those of a role: what would only be refused is not offered. */
export const placesFor = (role: string): (typeof PLACES)[number][] =>
  PLACES.filter((place) => !('isFor' in place) || place.isFor(role));
