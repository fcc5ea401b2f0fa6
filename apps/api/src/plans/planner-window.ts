import type { PlannerKind, PlannerWindow } from '@drvs/contracts';

const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const;
const DAY_MINUTES = 24 * 60;

/**
 * Why a plan of this kind may not be carried out by itself now; null when it may. Quiet windows win over the others;
 * a kind with windows of its own is carried out only inside one of them.
 */
export function quietBecause(
  windows: readonly PlannerWindow[],
  kind: PlannerKind,
  atMs: number,
): string | null {
  const own = windows.filter(({ kinds }) => kinds.includes(kind));
  const quiet = own.find((window) => window.effect === 'quiet' && isInside(window, atMs));
  if (quiet) return `it is quiet time (${describe(quiet)})`;
  const only = own.filter(({ effect }) => effect === 'only');
  if (only.length === 0 || only.some((window) => isInside(window, atMs))) return null;
  return `it is not its time (${only.map(describe).join('; ')})`;
}

/**
 * By the clock on the wall of the time zone: an hour that is skipped in spring is in no window, one that comes twice in
 * autumn is in it twice.
 */
export function isInside({ days, from, to, timeZone }: PlannerWindow, atMs: number): boolean {
  const { day, minutes } = wallClock(atMs, timeZone);
  const begins = minutesOf(from);
  const ends = minutesOf(to);
  const has = (index: number): boolean => days.includes(DAYS[(index + DAYS.length) % DAYS.length]!);
  if (begins < ends) return has(day) && minutes >= begins && minutes < ends;
  // Past midnight: the evening of a day, and the morning after it. From and to the same: the whole day round.
  return (has(day) && minutes >= begins) || (has(day - 1) && minutes < ends);
}

const describe = ({ days, from, to, timeZone }: PlannerWindow): string =>
  `${days.join(', ')} ${from} to ${to}, ${timeZone}`;

const minutesOf = (text: string): number => {
  const [hours, minutes] = text.split(':').map(Number) as [number, number];
  return (hours * 60 + minutes) % DAY_MINUTES;
};

function wallClock(atMs: number, timeZone: string): { day: number; minutes: number } {
  const parts = new Intl.DateTimeFormat('en-GB', {
    timeZone,
    weekday: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  }).formatToParts(atMs);
  const of = (type: Intl.DateTimeFormatPartTypes): string =>
    parts.find((part) => part.type === type)?.value ?? '';
  const day = DAYS.indexOf(of('weekday').toLowerCase() as (typeof DAYS)[number]);
  return { day, minutes: Number(of('hour')) * 60 + Number(of('minute')) };
}

/** Whether a name is one that the time zone database knows. */
export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en-GB', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
