/**
 * What becomes of a lease, as a pure function of it and the time.
 *
 *     active ──end──▶ ended ──files kept long enough──▶ (deleted with its DRVM)
 *       ▲               │
 *       └──extended─────┘
 *
 * Warnings are told once each; a late look tells the last one that is due only. At the end the DRVM is stopped, and its
 * files stay for as long as the lease says. The idle action is done once for each time that it falls idle.
 */
export interface LeaseFacts {
  state: 'active' | 'ended';
  endsAtMs: number;
  endedAtMs: number | null;
  keepMs: number;
  idleAction: 'stop' | 'shrink' | 'notify' | null;
  idleAfterMs: number | null;
  idleSinceMs: number | null;
  idleActedAtMs: number | null;
  /** Seconds before the end of the last warning that was told; null for none. */
  warnedSeconds: number | null;
}

export interface DrvmFacts {
  isRunning: boolean;
  /** Uses next to nothing of what it has, as measured now. */
  isIdle: boolean;
  /** An operation on it is under way: it is left alone until that has ended. */
  isBusy: boolean;
}

export type LeaseEffect =
  | { do: 'warn'; seconds: number }
  | { do: 'end' }
  | { do: 'stop' }
  | { do: 'delete' }
  | { do: 'idle-since'; atMs: number | null }
  | { do: 'idle'; action: 'stop' | 'shrink' | 'notify' };

/** Before the end, largest first. */
export const WARNINGS_S = [7 * 86_400, 86_400, 3_600, 300] as const;

/** @param isSure false right after the clock has jumped forward: then nothing is stopped, ended or deleted yet */
export function lookAtLease(
  lease: LeaseFacts,
  drvm: DrvmFacts,
  nowMs: number,
  isSure: boolean,
): LeaseEffect[] {
  if (lease.state === 'ended') return lookAtEnded(lease, drvm, nowMs, isSure);
  if (nowMs >= lease.endsAtMs)
    return isSure ? [{ do: 'end' }, ...(drvm.isRunning && !drvm.isBusy ? [STOP] : [])] : [];
  return [...warning(lease, nowMs), ...idleness(lease, drvm, nowMs, isSure)];
}

const STOP: LeaseEffect = { do: 'stop' };

function lookAtEnded(
  { endedAtMs, endsAtMs, keepMs }: LeaseFacts,
  { isRunning, isBusy }: DrvmFacts,
  nowMs: number,
  isSure: boolean,
): LeaseEffect[] {
  if (!isSure || isBusy) return [];
  if (nowMs >= (endedAtMs ?? endsAtMs) + keepMs) return [{ do: 'delete' }];
  return isRunning ? [STOP] : [];
}

/** The last of the marks that lie behind so short a time: whoever sets such a lease knows it, and is not warned of it. */
export function marksBehind(leftSeconds: number): number | null {
  return WARNINGS_S.filter((seconds) => leftSeconds <= seconds).at(-1) ?? null;
}

function warning({ endsAtMs, warnedSeconds }: LeaseFacts, nowMs: number): LeaseEffect[] {
  const due = marksBehind((endsAtMs - nowMs) / 1000);
  if (due === null || (warnedSeconds !== null && warnedSeconds <= due)) return [];
  return [{ do: 'warn', seconds: due }];
}

function idleness(lease: LeaseFacts, drvm: DrvmFacts, nowMs: number, isSure: boolean): LeaseEffect[] {
  const { idleAction, idleAfterMs, idleSinceMs, idleActedAtMs } = lease;
  if (idleAction === null || idleAfterMs === null) return [];
  if (!drvm.isRunning || !drvm.isIdle) return idleSinceMs === null ? [] : [{ do: 'idle-since', atMs: null }];
  if (idleSinceMs === null) return [{ do: 'idle-since', atMs: nowMs }];
  const isDone = idleActedAtMs !== null && idleActedAtMs >= idleSinceMs;
  if (isDone || drvm.isBusy || !isSure || nowMs - idleSinceMs < idleAfterMs) return [];
  return [{ do: 'idle', action: idleAction }];
}

/**
 * The time that leases go by. It never runs backwards: what has been seen stands. A jump forward that is longer than
 * looks are apart is not believed at once: until the new time has held for CONFIRM_MS, warnings are told and nothing
 * is stopped or deleted, so that a clock set wrong for a moment ends no lease.
 */
export interface LeaseClock {
  seenAtMs: number;
  /** The time to which it jumped, where that is not believed yet. */
  jumpedToMs: number | null;
}

/** Looks are seconds apart; after a longer pause, such as a restart, it costs a minute. */
const JUMP_MS = 5 * 60_000;
const CONFIRM_MS = 60_000;

export function readLeaseClock(
  clock: LeaseClock | null,
  nowMs: number,
): { clock: LeaseClock; nowMs: number; isSure: boolean } {
  if (clock === null) return { clock: { seenAtMs: nowMs, jumpedToMs: null }, nowMs, isSure: true };
  const { seenAtMs, jumpedToMs } = clock;
  const hasJumped = nowMs - seenAtMs > JUMP_MS;
  if (!hasJumped) {
    const time = Math.max(seenAtMs, nowMs);
    return { clock: { seenAtMs: time, jumpedToMs: null }, nowMs: time, isSure: true };
  }
  const since =
    jumpedToMs !== null && nowMs >= jumpedToMs && nowMs - jumpedToMs <= JUMP_MS ? jumpedToMs : nowMs;
  if (nowMs - since < CONFIRM_MS) return { clock: { seenAtMs, jumpedToMs: since }, nowMs, isSure: false };
  return { clock: { seenAtMs: nowMs, jumpedToMs: null }, nowMs, isSure: true };
}
