/** clock_*, poll_oneoff. */
import { EINTR, SUSPENDED } from '@drvs/drvmm-core';
import { POLL_ANSWER_BYTES, POLL_READ, POLL_WRITE, VFS_SELECT } from '../calls.js';
import type { Caller } from '../kernel/caller.js';
import { ERRNO, errnoOf } from './errno.js';
import { isInside, setNanos, setSize, staging, toMs } from './guest-memory.js';
import { ASKED, begin, mustWait, result } from './vfs-request.js';

const REALTIME = 0;
const MONOTONIC = 1;
const PROCESS_CPU = 2;
const THREAD_CPU = 3;
/** Clocks are told in microseconds' steps: finer ones would measure only this system. */
const RESOLUTION_MS = 0.001;

export function clock_res_get(c: Caller, clock: number, address: number): number {
  if (clock < REALTIME || clock > THREAD_CPU) return ERRNO.INVAL;
  if (!isInside(c, address, 8)) return ERRNO.FAULT;
  setNanos(c.view(), address >>> 0, RESOLUTION_MS);
  return ERRNO.SUCCESS;
}

export function clock_time_get(c: Caller, clock: number, _precision: bigint, address: number): number {
  if (!isInside(c, address, 8)) return ERRNO.FAULT;
  let ms: number;
  switch (clock) {
    case REALTIME:
      ms = c.realtimeMs();
      break;
    case MONOTONIC:
      ms = c.monotonicMs();
      break;
    case PROCESS_CPU:
    case THREAD_CPU:
      ms = c.cpuMs();
      break;
    default:
      return ERRNO.INVAL;
  }
  setNanos(c.view(), address >>> 0, Math.max(0, ms));
  return ERRNO.SUCCESS;
}

/** subscription: u64 userdata, u8 tag, then at 16 a u32 fd, or a clock with these fields. */
interface SubscriptionLayout {
  bytes: number;
  clock: number;
  timeout: number;
  flags: number;
}
const PREVIEW_1: SubscriptionLayout = { bytes: 48, clock: 16, timeout: 24, flags: 40 };
/** wasi_unstable's clocks begin with an identifier. */
const UNSTABLE: SubscriptionLayout = { bytes: 56, clock: 24, timeout: 32, flags: 48 };
/** event: u64 userdata, u16 error, u8 kind, then at 16 u64 bytes and u16 flags. */
const EVENT_BYTES = 32;
/** What one SELECT can ask about. */
export const SUBSCRIPTIONS_MAX = 4096;
const TAG_CLOCK = 0;
const TAG_READ = 1;
const TAG_WRITE = 2;
const ABSOLUTE = 1;
const NEVER = Number.POSITIVE_INFINITY;

/** A descriptor that has nothing yet is asked about again so soon, then less and less often. */
const AGAIN_FIRST_MS = 1;
const AGAIN_MOST_MS = 16;

/** In `scratch`: when the call began, by the monotonic clock, and how long it last paused between two questions. */
const BEGAN = 0;
const PAUSE = 1;
/** In `step`, besides ASKED: it sleeps, has only begun, or will ask again. */
const SLEEPING = 2;
const BEGUN = 3;
const PAUSING = 4;

/**
 * Files are ready at once. Devices of hosts alone may have nothing yet: then the process sleeps, and asks again, until
 * one has, or a clock is due. Relative times count from the first entry, also when the process is moved while it sleeps.
 */
export function poll_oneoff(c: Caller, input: number, output: number, count: number, stored: number): number {
  return poll(c, PREVIEW_1, input, output, count, stored);
}

export function unstable_poll_oneoff(
  c: Caller,
  input: number,
  output: number,
  count: number,
  stored: number,
): number {
  return poll(c, UNSTABLE, input, output, count, stored);
}

function poll(
  c: Caller,
  layout: SubscriptionLayout,
  input: number,
  output: number,
  count: number,
  stored: number,
): number {
  const length = count >>> 0;
  if (length === 0 || length > SUBSCRIPTIONS_MAX) return ERRNO.INVAL;
  const isValid =
    isInside(c, input, length * layout.bytes) &&
    isInside(c, output, length * EVENT_BYTES) &&
    isInside(c, stored, 4);
  if (!isValid) return ERRNO.FAULT;
  const start = input >>> 0;
  if (c.step === PAUSING && c.outcome === EINTR) return ERRNO.INTR;
  if (c.step === 0 || c.step === PAUSING) {
    if (c.step === 0) c.scratch[BEGAN] = c.monotonicMs();
    // (Who uses `scratch` sets `step`: the time may have passed already, and the next call must find it clear.)
    c.step = BEGUN;
    const asked = descriptorsOf(c.view(), layout, start, length);
    if (asked < 0) return -asked;
    if (asked > 0) {
      begin(c, VFS_SELECT, 0);
      if (mustWait(c, staging.subarray(0, asked * 8))) return SUSPENDED;
    }
  }
  let answers: Uint8Array | null = null;
  if (c.step === ASKED) {
    if (result(c) < 0) return errnoOf(result(c));
    answers = c.replyData();
    if (isNothingYet(answers)) {
      const deadline = earliest(c, layout, start, length);
      if (deadline > c.monotonicMs()) {
        const pause = Math.min(c.scratch[PAUSE]! * 2 || AGAIN_FIRST_MS, AGAIN_MOST_MS);
        c.scratch[PAUSE] = pause;
        c.step = PAUSING;
        return c.sleepUntil(Math.min(deadline, c.monotonicMs() + pause));
      }
    }
  } else {
    if (c.step === SLEEPING && c.outcome === EINTR) return ERRNO.INTR;
    const deadline = earliest(c, layout, start, length);
    if (deadline > c.monotonicMs()) {
      c.step = SLEEPING;
      return c.sleepUntil(deadline);
    }
  }
  const events = putEvents(c, layout, start, output >>> 0, length, answers);
  c.view().setUint32(stored >>> 0, events, true);
  return ERRNO.SUCCESS;
}

/** Whether each of the descriptors asked about has to be waited for. */
function isNothingYet(answers: Uint8Array): boolean {
  const view = new DataView(answers.buffer, answers.byteOffset, answers.length);
  for (let at = 0; at < answers.length; at += POLL_ANSWER_BYTES)
    if (!view.getInt32(at + 4, true)) return false;
  return true;
}

/** Puts the descriptors asked about into `staging`. @returns how many, or a negative WASI errno. */
function descriptorsOf(view: DataView, layout: SubscriptionLayout, start: number, length: number): number {
  const to = new DataView(staging.buffer);
  let asked = 0;
  for (let i = 0; i < length; i++) {
    const at = start + i * layout.bytes;
    const tag = view.getUint8(at + 8);
    if (tag === TAG_CLOCK) continue;
    if (tag > TAG_WRITE) return -ERRNO.INVAL;
    to.setInt32(asked * 8, view.getInt32(at + 16, true), true);
    to.setInt32(asked * 8 + 4, tag === TAG_READ ? POLL_READ : POLL_WRITE, true);
    asked++;
  }
  return asked;
}

/** When a clock subscription is due, by the monotonic clock; at once for one that is not valid. */
function deadlineOf(c: Caller, layout: SubscriptionLayout, view: DataView, at: number): number {
  const clock = view.getUint32(at + layout.clock, true);
  const timeoutMs = toMs(view.getBigUint64(at + layout.timeout, true));
  const isAbsolute = view.getUint16(at + layout.flags, true) & ABSOLUTE;
  if (clock !== REALTIME && clock !== MONOTONIC) return 0;
  if (!isAbsolute) return c.scratch[BEGAN]! + timeoutMs;
  return clock === MONOTONIC ? timeoutMs : c.monotonicMs() + timeoutMs - c.realtimeMs();
}

function earliest(c: Caller, layout: SubscriptionLayout, start: number, length: number): number {
  const view = c.view();
  let deadline = NEVER;
  for (let i = 0; i < length; i++) {
    const at = start + i * layout.bytes;
    if (view.getUint8(at + 8) === TAG_CLOCK) deadline = Math.min(deadline, deadlineOf(c, layout, view, at));
  }
  return deadline;
}

/** The events that are due, in the order of their subscriptions. They may lie over the input: it is read first. */
function putEvents(
  c: Caller,
  layout: SubscriptionLayout,
  start: number,
  output: number,
  length: number,
  answers: Uint8Array | null,
): number {
  const guest = c.view();
  const input = c.bytes().slice(start, start + length * layout.bytes);
  const view = new DataView(input.buffer);
  const answer = answers && new DataView(answers.buffer, answers.byteOffset, answers.length);
  const now = c.monotonicMs();
  let events = 0;
  let asked = 0;
  for (let i = 0; i < length; i++) {
    const at = i * layout.bytes;
    const tag = view.getUint8(at + 8);
    let errno: number = ERRNO.SUCCESS;
    let bytes = 0;
    if (tag === TAG_CLOCK) {
      if (deadlineOf(c, layout, view, at) > now) continue;
      const clock = view.getUint32(at + layout.clock, true);
      if (clock > THREAD_CPU) errno = ERRNO.INVAL;
      else if (clock > MONOTONIC) errno = ERRNO.NOTSUP;
    } else {
      const place = asked++ * POLL_ANSWER_BYTES;
      if (answer!.getInt32(place + 4, true)) continue;
      errno = errnoOf(answer!.getInt32(place, true));
      bytes = answer!.getFloat64(place + 8, true);
    }
    const to = output + events++ * EVENT_BYTES;
    guest.setBigUint64(to, view.getBigUint64(at, true), true);
    guest.setUint16(to + 8, errno, true);
    guest.setUint8(to + 10, tag);
    for (let k = 11; k < 16; k++) guest.setUint8(to + k, 0);
    setSize(guest, to + 16, bytes);
    setSize(guest, to + 24, 0);
  }
  return events;
}
