/** Who is to manage the day: how new slices are placed, and what happens afterwards. */
export interface Contender {
  name: ContenderName;
  /** Which node among those with room takes a new slice. */
  placement: 'emptiest' | 'first' | 'tightest' | 'next';
  /** What is idle goes at once to whoever wants it on the same node, up to ceilings, without any plan. */
  sharesIdle: boolean;
  /** The planners of this library run: reallocation, balance, consolidation, power, evacuation. */
  isPlanned: boolean;
}

export type ContenderName =
  | 'nothing'
  | 'first-fit'
  | 'best-fit'
  | 'round-robin'
  | 'best-fit-shares'
  | 'planned';

export const CONTENDERS: readonly Contender[] = [
  { name: 'nothing', placement: 'emptiest', sharesIdle: false, isPlanned: false },
  { name: 'first-fit', placement: 'first', sharesIdle: false, isPlanned: false },
  { name: 'best-fit', placement: 'tightest', sharesIdle: false, isPlanned: false },
  { name: 'round-robin', placement: 'next', sharesIdle: false, isPlanned: false },
  { name: 'best-fit-shares', placement: 'tightest', sharesIdle: true, isPlanned: false },
  { name: 'planned', placement: 'tightest', sharesIdle: false, isPlanned: true },
];
