/**
 * Endpoints name processes within one DRVM, as in MINIX: generation * GENERATION_SIZE + slot. A slot that is used
 * again gets the next generation, so that who still holds the former owner's endpoint gets EDEADSRCDST and never
 * reaches the new owner. Tasks (slot < 0) and servers (0..28) have fixed endpoints equal to their slot.
 */
export type Endpoint = number & { readonly __endpoint: unique symbol };

/** Slots below 0: SYSTASK of up to 1024 containers, and two spare. */
export const TASK_SLOTS = 1026;
/** A power of two, so that slot and generation are a mask and a shift. */
export const GENERATION_SIZE = 0x2_0000;
const GENERATION_SHIFT = 17;
const SLOT_MASK = GENERATION_SIZE - 1;
/** Slots -TASK_SLOTS .. MAX_SLOTS-1; the specials below lie above them within generation 0. */
export const MAX_SLOTS = 0x1_d000;
/** After this generation a slot starts over at 1; endpoints stay within 31 bits. */
export const MAX_GENERATION = 0x3ffe;
/** Slots from here on are users; below are tasks and servers, which do not migrate. */
export const FIRST_USER_SLOT = 29;

export const ANY = 0x1_face as Endpoint;
export const NONE = 0x1_eace as Endpoint;
export const SELF = 0x1_dace as Endpoint;
/** Source of a notification from outside any process. */
export const HARDWARE = -1 as Endpoint;

export const PM = 0 as Endpoint;
export const VFS = 1 as Endpoint;
export const RS = 2 as Endpoint;
export const RDISK = 3 as Endpoint;
export const LOG = 4 as Endpoint;
export const TTY = 5 as Endpoint;
export const ETH = 6 as Endpoint;
export const DS = 7 as Endpoint;
export const IS = 8 as Endpoint;
export const INET = 9 as Endpoint;
export const INIT = 14 as Endpoint;

export const MAX_INDEX = 1023;

/** The system task of container `index` (0..1023): -2 - index. */
export function SYSTASK(index: number): Endpoint {
  return (-2 - index) as Endpoint;
}

/** @throws RangeError when slot or generation is out of range. */
export function makeEndpoint(slot: number, generation: number): Endpoint {
  if (!Number.isInteger(slot) || slot < -TASK_SLOTS || slot >= MAX_SLOTS) {
    throw new RangeError(`slot ${slot} is not within ${-TASK_SLOTS}..${MAX_SLOTS - 1}`);
  }
  if (!Number.isInteger(generation) || generation < 0 || generation > MAX_GENERATION) {
    throw new RangeError(`generation ${generation} is not within 0..${MAX_GENERATION}`);
  }
  return (generation * GENERATION_SIZE + slot) as Endpoint;
}

export function slotOf(endpoint: number): number {
  return ((endpoint + TASK_SLOTS) & SLOT_MASK) - TASK_SLOTS;
}

export function generationOf(endpoint: number): number {
  return (endpoint + TASK_SLOTS) >> GENERATION_SHIFT;
}

/** True for a number that can name a process (not for ANY, NONE, SELF). */
export function isEndpoint(value: number): value is Endpoint {
  if (!Number.isInteger(value) || value < -TASK_SLOTS || value > 0x7fff_ffff) return false;
  return slotOf(value) < MAX_SLOTS && generationOf(value) <= MAX_GENERATION;
}

/** A task or a server: it does not migrate. A task's place is fixed; servers live at home, and move with it. */
export function isSystemEndpoint(endpoint: number): boolean {
  return slotOf(endpoint) < FIRST_USER_SLOT;
}

/** Where a task or server lives: SYSTASK(i) on i, all servers at `home`; undefined for users. */
export function fixedIndexOf(endpoint: number, home: number): number | undefined {
  const slot = slotOf(endpoint);
  if (slot >= FIRST_USER_SLOT) return undefined;
  return slot <= -2 && slot >= -2 - MAX_INDEX ? -2 - slot : home;
}

/** A server: it lives at home. */
export function isServerEndpoint(endpoint: number): boolean {
  const slot = slotOf(endpoint);
  return slot >= 0 && slot < FIRST_USER_SLOT;
}

const NAMES = new Map<number, string>([
  [ANY, 'ANY'],
  [NONE, 'NONE'],
  [SELF, 'SELF'],
  [HARDWARE, 'HARDWARE'],
  [PM, 'PM'],
  [VFS, 'VFS'],
  [RS, 'RS'],
  [RDISK, 'RDISK'],
  [LOG, 'LOG'],
  [TTY, 'TTY'],
  [ETH, 'ETH'],
  [DS, 'DS'],
  [IS, 'IS'],
  [INET, 'INET'],
  [INIT, 'INIT'],
]);

/** `PM`, `SYSTASK(2)`, or `slot.generation` for users. */
export function formatEndpoint(endpoint: number): string {
  const name = NAMES.get(endpoint);
  if (name !== undefined) return name;
  if (!isEndpoint(endpoint)) return `endpoint?${endpoint}`;
  const slot = slotOf(endpoint);
  if (slot <= -2 && slot >= -2 - MAX_INDEX) return `SYSTASK(${-2 - slot})`;
  return `${slot}.${generationOf(endpoint)}`;
}
