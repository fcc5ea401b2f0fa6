import { endingOfSignal } from './ending.js';
import { type GuestProcess, Wait } from './process.js';
import { type Processor, SLICE_MS } from './processor.js';
import { SIGKILL } from './signals.js';
import { Sleepers } from './sleepers.js';

/** Guests run at most so long before the event loop serves I/O. */
const BURST_MS = 2 * SLICE_MS;
/** Turns between two looks at the clock within a burst, for processes whose turns take microseconds. */
const TURNS_PER_CLOCK = 8;
/** setTimeout's longest, about 24 days; a later sleeper is looked at again then. */
const TIMEOUT_MOST_MS = 0x7fff_ffff;
/**
 * Machines (WebAssembly instances) alive at most: V8 reserves about 10 GiB of address space for each one's memory and
 * fails near 16,000. Beyond this, waiting processes are put away.
 */
export const LIVE_MACHINES_MOST = 8192;
/** A container that was idle may run so long at full speed before its limit of CPU holds it. */
const CPU_CREDIT_MS = 100;
/** Part of the difference by which the measured share of the CPU follows the last burst. */
const CPU_SHARE_WEIGHT = 0.2;

/**
 * Who runs next on this thread: round robin over those that may run, in bursts between which I/O is served. Nothing is
 * scheduled while nobody may run.
 */
export class Scheduler {
  readonly #queue = new RunQueue();
  readonly #sleepers = new Sleepers<GuestProcess>();
  #immediate: NodeJS.Immediate | null = null;
  #timer: NodeJS.Timeout | null = null;
  #timerAt = Number.POSITIVE_INFINITY;
  #holdTimer: NodeJS.Timeout | null = null;
  #isClosed = false;
  /** CPU time per wall time while guests run: below 1 where the host gives this container only a share. */
  #cpuShare = 1;
  /** In the order in which their machines were made. */
  readonly #live = new Set<GuestProcess>();
  turns = 0;
  /** CPU per wall time that guests may use; 1 and more is all of this thread. */
  #cpuLimit = Number.POSITIVE_INFINITY;
  /** CPU that may be used now; below 0, nobody has a turn until it has grown again. */
  #cpuCreditMs = CPU_CREDIT_MS;
  #creditedAt = performance.now();

  constructor(
    readonly processor: Processor,
    /** The process's turn has ended it. */
    private readonly onEnded: (process: GuestProcess) => void,
    private readonly liveMost = LIVE_MACHINES_MOST,
  ) {}

  /**
   * Thousandths of a CPU for guests. On hosts that keep the container to its share themselves (cgroups) this never
   * binds; on others it is what does.
   */
  set cpuMilli(milli: number) {
    this.#cpuLimit = Math.max(1, milli) / 1000;
  }

  get runnable(): number {
    return this.#queue.length;
  }

  /** The process may run again, whatever it waited for. */
  wake(process: GuestProcess): void {
    if (process.heapIndex >= 0) this.#sleepers.remove(process);
    process.wait = Wait.turn;
    this.admit(process);
  }

  /** Queues the process if it may run, or sets its alarm if it sleeps. */
  admit(process: GuestProcess): void {
    if (process.ending !== null || process.isFrozen) return;
    if (process.wait === Wait.clock) {
      this.#sleep(process);
      return;
    }
    if (process.isQueued || !process.canRun) return;
    process.isQueued = true;
    this.#queue.push(process);
    this.#dispatch();
  }

  /** A process that comes with its machine. */
  adopt(process: GuestProcess): void {
    this.#live.add(process);
    this.admit(process);
  }

  #dispatch(): void {
    if (this.#immediate !== null || this.#queue.length === 0 || this.#isClosed) return;
    if (this.#holdTimer !== null) return;
    this.#immediate = setImmediate(() => this.#burst());
  }

  /** No guest has a turn for so long, or until `resume`: something short is more urgent. */
  hold(ms: number): void {
    if (this.#isClosed) return;
    if (this.#holdTimer !== null) clearTimeout(this.#holdTimer);
    if (this.#immediate !== null) clearImmediate(this.#immediate);
    this.#immediate = null;
    this.#holdTimer = setTimeout(() => this.resume(), ms);
  }

  resume(): void {
    if (this.#holdTimer === null) return;
    clearTimeout(this.#holdTimer);
    this.#holdTimer = null;
    this.#dispatch();
  }

  /** The process runs no more until it is admitted again. Its place in the queue is skipped when its turn comes. */
  withdraw(process: GuestProcess): void {
    if (process.heapIndex >= 0) this.#sleepers.remove(process);
  }

  /** The process has ended or moved away: nothing of it is kept. */
  forget(process: GuestProcess): void {
    this.withdraw(process);
    this.#live.delete(process);
  }

  close(): void {
    this.#isClosed = true;
    if (this.#immediate !== null) clearImmediate(this.#immediate);
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#holdTimer !== null) clearTimeout(this.#holdTimer);
    this.#immediate = null;
    this.#timer = null;
    this.#holdTimer = null;
  }

  #sleep(process: GuestProcess): void {
    if (process.heapIndex >= 0) this.#sleepers.remove(process);
    if (process.wakeAt === Number.POSITIVE_INFINITY) return;
    process.alarmAt = process.wakeAt - process.clockOffsetMs;
    this.#sleepers.add(process);
    this.#arm();
  }

  /** One timer for all who sleep. */
  #arm(): void {
    const first = this.#sleepers.peek();
    if (first === undefined || this.#isClosed) return;
    if (this.#timer !== null) {
      if (this.#timerAt <= first.alarmAt) return;
      clearTimeout(this.#timer);
    }
    this.#timerAt = first.alarmAt;
    // Timers of Node count whole milliseconds and may fire early by a part of one.
    const delay = Math.ceil(Math.min(TIMEOUT_MOST_MS, Math.max(0, first.alarmAt - performance.now())));
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#ring();
    }, delay);
  }

  #ring(): void {
    const now = performance.now();
    for (let first = this.#sleepers.peek(); first && first.alarmAt <= now; first = this.#sleepers.peek()) {
      this.wake(first);
    }
    this.#arm();
  }

  #burst(): void {
    this.#immediate = null;
    const began = performance.now();
    const cpuBegan = threadCpuMs();
    let untilClock = TURNS_PER_CLOCK;
    let used = 0;
    for (;;) {
      const process = this.#queue.shift();
      if (process === undefined) break;
      process.isQueued = false;
      if (!process.canRun) continue;
      const ms = this.#turn(process);
      used += ms;
      if (ms > SLICE_MS / 4 || --untilClock === 0) {
        untilClock = TURNS_PER_CLOCK;
        if (performance.now() - began >= BURST_MS) break;
      }
    }
    const cpuMs = threadCpuMs() - cpuBegan;
    const now = performance.now();
    if (used > SLICE_MS / 2) {
      const share = Math.min(1, Math.max(0.01, cpuMs / (now - began)));
      this.#cpuShare += (share - this.#cpuShare) * CPU_SHARE_WEIGHT;
    }
    if (this.#sleepers.size > 0) this.#ring();
    this.#charge(cpuMs, now);
    this.#dispatch();
  }

  /** Keeps guests to their share of CPU: what was used beyond it is waited for. */
  #charge(cpuMs: number, now: number): void {
    if (this.#cpuLimit >= 1) return;
    const most = Math.max(BURST_MS, CPU_CREDIT_MS * this.#cpuLimit);
    const earned = (now - this.#creditedAt) * this.#cpuLimit;
    this.#creditedAt = now;
    this.#cpuCreditMs = Math.min(most, this.#cpuCreditMs + earned) - cpuMs;
    if (this.#cpuCreditMs < 0) this.hold(Math.ceil(-this.#cpuCreditMs / this.#cpuLimit));
  }

  #turn(process: GuestProcess): number {
    this.turns++;
    let ms = 0;
    if (!process.isLive && !this.#makeLive(process)) {
      process.ending = endingOfSignal(SIGKILL, 'out of memory: the node has no room for the process');
    } else {
      ms = this.processor.run(process);
      process.cpuMsUsed += ms * this.#cpuShare;
    }
    if (process.ending !== null) this.onEnded(process);
    else this.admit(process);
    return ms;
  }

  #makeLive(process: GuestProcess): boolean {
    if (this.#live.size >= this.liveMost) this.#putSomeAway();
    try {
      process.materialize();
    } catch {
      this.#putSomeAway();
      try {
        process.materialize();
      } catch {
        return false;
      }
    }
    this.#live.add(process);
    return true;
  }

  /** An eighth of the live machines, the oldest first. */
  #putSomeAway(): void {
    let wanted = Math.ceil(this.#live.size / 8);
    for (const process of this.#live) {
      if (wanted-- === 0) return;
      process.putAway();
      this.#live.delete(process);
    }
  }
}

function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** A ring buffer that doubles: no garbage per turn. */
class RunQueue {
  #slots: (GuestProcess | undefined)[] = new Array<GuestProcess | undefined>(64);
  #head = 0;
  length = 0;

  push(process: GuestProcess): void {
    if (this.length === this.#slots.length) this.#double();
    this.#slots[(this.#head + this.length) & (this.#slots.length - 1)] = process;
    this.length++;
  }

  shift(): GuestProcess | undefined {
    if (this.length === 0) return undefined;
    const process = this.#slots[this.#head];
    this.#slots[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#slots.length - 1);
    this.length--;
    return process;
  }

  #double(): void {
    const slots = new Array<GuestProcess | undefined>(2 * this.#slots.length);
    for (let index = 0; index < this.length; index++) {
      slots[index] = this.#slots[(this.#head + index) & (this.#slots.length - 1)];
    }
    this.#slots = slots;
    this.#head = 0;
  }
}
