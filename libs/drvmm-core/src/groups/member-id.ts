/**
 * Who: a place (what the caller maps to an address) and a life there. A process that starts anew is another member,
 * as it remembers nothing.
 */
export type GroupMemberId = number;

const LIVES_MAX = 2 ** 20;
const PLACES_MAX = 2 ** 32;
/** A group id is at most this. */
export const MEMBER_ID_MAX = PLACES_MAX * LIVES_MAX - 1;

/** `life`: larger with each start of the process at this place. */
export function groupMemberId(place: number, life: number): GroupMemberId {
  if (!Number.isInteger(place) || place < 0 || place >= PLACES_MAX)
    throw new RangeError(`the place ${place}`);
  if (!Number.isInteger(life) || life < 0 || life >= LIVES_MAX) throw new RangeError(`the life ${life}`);
  return place * LIVES_MAX + life;
}

export const placeOf = (id: GroupMemberId): number => Math.floor(id / LIVES_MAX);

/** Views are counted by whoever proposes them; no two have the same name. */
export interface ViewId {
  readonly counter: number;
  readonly coordinator: GroupMemberId;
}

/** Less than 0: a came before b at everyone who saw both. */
export const compareViews = (a: ViewId, b: ViewId): number =>
  a.counter - b.counter || a.coordinator - b.coordinator;

export const viewName = ({ counter, coordinator }: ViewId): string => `${counter}/${coordinator}`;
