import type { PowerState } from '@drvs/contracts';

/**
 * The power of a node, written down once:
 *
 * ```
 *  on ──▶ powering-off ──▶ off ──▶ powering-on ──▶ joining ──▶ on
 *              │            └──────────(somebody switched it on by hand)──▶ joining
 *              ▼                          │            │
 *            failed ◀────────────────────┴────────────┘   may be asked again, either way
 *                         after QUARANTINE_AFTER times in a row ──▶ quarantined   until an operator releases it
 * ```
 *
 * `on` is reached only when the agent's channel is open, a heartbeat came over it, and it has told its inventory: a
 * mains lamp is no computer. `off` is reached only when the driver reads it, or, with a driver that reads nothing, when
 * an agent that was asked to shut down has been silent for SILENT_FOR_MS.
 *
 * Time in a state counts only between two looks, and at most LOOK_COUNTS_MS of each pause: a clock that jumps, or an
 * API that was away, neither fails a node nor waits for one without end.
 */
export interface PowerRecord {
  state: PowerState;
  sinceMs: number;
  lookedAtMs: number;
  /** What is left of the time for this try; null where nothing must end. */
  leftMs: number | null;
  /** Tries of what the state is about. */
  attempts: number;
  /** Times in a row that it failed to come back. */
  failures: number;
  reason: string;
}

/** What is seen of the node at a look. */
export interface PowerSight {
  reading: 'on' | 'off' | 'unknown';
  /** A heartbeat came after the state began. */
  isHeard: boolean;
  /** For how long there was none. */
  silentMs: number;
  /** The agent has told its inventory since the node was switched on. */
  hasInventory: boolean;
}

export type PowerAction =
  /** Let what runs there end, then off. */
  | 'ask-off'
  /** Off at once. */
  | 'cut'
  | 'switch-on'
  /** Off and on: it is on and does not come. */
  | 'cycle';

export interface PowerLimits {
  /** For the agent and the host to end by themselves. */
  gracefulMs: number;
  cutMs: number;
  /** From the switch to the first sign of life. */
  bootMs: number;
  /** From there to the agent's inventory. */
  joinMs: number;
  /** The driver can cut the power; one that only sends wake-up packets cannot. */
  canCut: boolean;
}

export interface PowerStep {
  record: PowerRecord;
  action: PowerAction | null;
  /** The state that was come to in this step; null when it is the same as before. */
  entered: PowerState | null;
}

export const LOOK_COUNTS_MS = 30_000;
export const SILENT_FOR_MS = 16_000;
const CUTS_MAX = 2;
const SWITCH_ONS_MAX = 3;
export const QUARANTINE_AFTER = 2;

/** Which request is taken in which state; any other is refused. */
const MAY_GO_OFF: ReadonlySet<PowerState> = new Set(['on', 'failed', 'powering-on', 'joining']);
const MAY_GO_ON: ReadonlySet<PowerState> = new Set(['off', 'failed', 'powering-off']);

/** Null when it is so already, or on its way. @param reason who asked, and why */
export function askedOff(record: PowerRecord, reason: string, nowMs: number): PowerRecord | null | 'refused' {
  if (record.state === 'off' || record.state === 'powering-off') return null;
  if (!MAY_GO_OFF.has(record.state)) return 'refused';
  return enter(record, 'powering-off', reason, nowMs);
}

export function askedOn(record: PowerRecord, reason: string, nowMs: number): PowerRecord | null | 'refused' {
  if (record.state === 'on' || record.state === 'powering-on' || record.state === 'joining') return null;
  if (!MAY_GO_ON.has(record.state)) return 'refused';
  return enter(record, 'powering-on', reason, nowMs);
}

/** An operator has looked: it counts again as a node like any other. */
export function released(record: PowerRecord, isHeard: boolean, reason: string, nowMs: number): PowerRecord {
  const state =
    record.state === 'quarantined' || record.state === 'failed' ? (isHeard ? 'on' : 'off') : record.state;
  return { ...enter(record, state, reason, nowMs), failures: 0 };
}

function enter(record: PowerRecord, state: PowerState, reason: string, nowMs: number): PowerRecord {
  return { ...record, state, sinceMs: nowMs, lookedAtMs: nowMs, leftMs: null, attempts: 0, reason };
}

/** One look at a node: what is so now, and what is to be done. Pure: the same record and sight give the same step. */
export function look(before: PowerRecord, sight: PowerSight, nowMs: number, limits: PowerLimits): PowerStep {
  const passedMs = Math.min(LOOK_COUNTS_MS, Math.max(0, nowMs - before.lookedAtMs));
  const record: PowerRecord = {
    ...before,
    lookedAtMs: nowMs,
    leftMs: before.leftMs === null ? null : Math.max(0, before.leftMs - passedMs),
  };
  switch (record.state) {
    case 'powering-off':
      return lookOff(record, sight, nowMs, limits);
    case 'powering-on':
      return lookOn(record, sight, nowMs, limits);
    case 'joining':
      return lookJoining(record, sight, nowMs, limits);
    case 'off':
      // Somebody pressed the button.
      if (sight.isHeard)
        return come(enter(record, 'joining', 'it was switched on by hand', nowMs), limits.joinMs, 1);
      return stay(record);
    case 'failed':
      if (sight.isHeard && sight.hasInventory) {
        return come(
          { ...enter(record, 'on', 'it came back by itself', nowMs), failures: record.failures },
          null,
          0,
        );
      }
      return stay(record);
    case 'on':
    case 'quarantined':
      return stay(record);
  }
}

function lookOff(record: PowerRecord, sight: PowerSight, nowMs: number, limits: PowerLimits): PowerStep {
  if (sight.reading === 'off')
    return come(enter(record, 'off', 'its driver reads that it is off', nowMs), null, 0);
  const wasAsked = record.attempts > 0;
  if (wasAsked && sight.reading === 'unknown' && sight.silentMs >= SILENT_FOR_MS) {
    const reason = `it was asked to shut down and has been silent for ${Math.round(sight.silentMs / 1000)} s; nothing can read its power`;
    return come(enter(record, 'off', reason, nowMs), null, 0);
  }
  if (!wasAsked) return act(record, 'ask-off', limits.gracefulMs);
  if (record.leftMs !== null && record.leftMs > 0) return stay(record);
  if (limits.canCut && record.attempts <= CUTS_MAX) return act(record, 'cut', limits.cutMs);
  return fail(
    record,
    `it did not go off in ${record.attempts} ${record.attempts === 1 ? 'try' : 'tries'}`,
    nowMs,
  );
}

function lookOn(record: PowerRecord, sight: PowerSight, nowMs: number, limits: PowerLimits): PowerStep {
  const wasSwitched = record.attempts > 0;
  if (wasSwitched && sight.isHeard) {
    return come(enter(record, 'joining', 'its agent is heard', nowMs), limits.joinMs, record.attempts);
  }
  if (!wasSwitched) return act(record, 'switch-on', limits.bootMs);
  if (record.leftMs !== null && record.leftMs > 0) return stay(record);
  if (record.attempts >= SWITCH_ONS_MAX) {
    return failToCome(
      record,
      `it was switched on ${record.attempts} times and nothing was heard of it`,
      nowMs,
    );
  }
  // On and silent: it hangs.
  return act(record, sight.reading === 'on' && limits.canCut ? 'cycle' : 'switch-on', limits.bootMs);
}

function lookJoining(record: PowerRecord, sight: PowerSight, nowMs: number, limits: PowerLimits): PowerStep {
  if (sight.isHeard && sight.hasInventory) {
    return come(
      { ...enter(record, 'on', 'its agent is connected and has told what it offers', nowMs), failures: 0 },
      null,
      0,
    );
  }
  if (record.leftMs !== null && record.leftMs > 0) return stay(record);
  if (record.attempts >= SWITCH_ONS_MAX) {
    return failToCome(record, `it was heard and did not join within ${limits.joinMs / 1000} s`, nowMs);
  }
  const again = { ...enter(record, 'powering-on', 'it did not join', nowMs), attempts: record.attempts };
  return { ...act(again, limits.canCut ? 'cycle' : 'switch-on', limits.bootMs), entered: 'powering-on' };
}

const stay = (record: PowerRecord): PowerStep => ({ record, action: null, entered: null });

const act = (record: PowerRecord, action: PowerAction, leftMs: number): PowerStep => ({
  record: { ...record, attempts: record.attempts + 1, leftMs },
  action,
  entered: null,
});

const come = (record: PowerRecord, leftMs: number | null, attempts: number): PowerStep => ({
  record: { ...record, leftMs, attempts },
  action: null,
  entered: record.state,
});

const fail = (record: PowerRecord, reason: string, nowMs: number): PowerStep =>
  come(enter(record, 'failed', reason, nowMs), null, 0);

function failToCome(record: PowerRecord, reason: string, nowMs: number): PowerStep {
  const failures = record.failures + 1;
  const state = failures >= QUARANTINE_AFTER ? 'quarantined' : 'failed';
  return come({ ...enter(record, state, reason, nowMs), failures }, null, 0);
}

/**
 * An action that failed counts as a try whose time is over. Where nothing can cut the power, a shutdown that could not
 * be asked for is the end: the silence of a node that was not told proves nothing.
 */
export function actionFailed(
  record: PowerRecord,
  action: PowerAction,
  why: string,
  limits: PowerLimits,
  nowMs: number,
): PowerRecord {
  if (action === 'ask-off' && !limits.canCut) return fail(record, why, nowMs).record;
  return { ...record, leftMs: 0, reason: why };
}
