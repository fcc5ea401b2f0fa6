import { performance } from 'node:perf_hooks';
import { Pulse } from '../transport/pulse.js';
import type { GroupOrder } from './group-frame.js';
import type { GroupMemberId } from './member-id.js';
import { type GroupView, ProcessGroup, type ProcessGroupOptions } from './process-group.js';

export interface GroupMulticast {
  readonly from: GroupMemberId;
  readonly order: GroupOrder;
  readonly data: Uint8Array;
  readonly isLate: boolean;
}

export interface GroupNodeOptions extends Omit<ProcessGroupOptions, 'random' | 'nowMs'> {
  /** To whoever is at a place; a frame that cannot go now may be dropped. */
  readonly send: (place: number, frame: Buffer) => void;
  readonly deliver: (multicast: GroupMulticast) => void;
  readonly entered: (view: GroupView) => void;
  /** The state as it is at this moment. Only of groups that have one. */
  readonly capture?: () => Uint8Array;
  readonly restore?: (state: Uint8Array) => void;
  readonly left?: () => void;
  readonly refused?: (id: number, reason: 'full' | 'tooLarge' | 'left') => void;
}

/** A member of a process group on this host: ProcessGroup with the clock and whatever carries frames. */
export class GroupNode {
  readonly #options: GroupNodeOptions;
  readonly #process: ProcessGroup;
  readonly #pulse: Pulse;
  #lastId = 0;

  constructor(options: GroupNodeOptions) {
    this.#options = options;
    this.#process = new ProcessGroup({ ...options, random: Math.random, nowMs: performance.now() });
    this.#pulse = new Pulse(
      () => this.#process.nextDeadlineMs,
      () => this.#step({ kind: 'tick' }),
    );
    this.#carryOut(this.#process.start());
    this.#pulse.set();
  }

  get process(): ProcessGroup {
    return this.#process;
  }

  /** The number that `refused` names it by, if it comes to that. */
  multicast(order: GroupOrder, data: Uint8Array): number {
    const id = ++this.#lastId;
    this.#step({ kind: 'multicast', id, order, data });
    return id;
  }

  contacts(places: readonly number[]): void {
    this.#step({ kind: 'contacts', places });
  }

  unreachable(place: number): void {
    this.#step({ kind: 'unreachable', place });
  }

  receive(frame: Uint8Array): void {
    this.#step({ kind: 'frame', frame });
  }

  leave(): void {
    this.#step({ kind: 'leave' });
  }

  close(): void {
    this.#pulse.stop();
  }

  #step(event: Parameters<ProcessGroup['step']>[0]): void {
    this.#carryOut(this.#process.step(event, performance.now()));
    this.#pulse.set();
  }

  #carryOut(effects: ReturnType<ProcessGroup['step']>): void {
    const { send, deliver, entered, capture, restore, left, refused } = this.#options;
    for (const effect of effects) {
      switch (effect.kind) {
        case 'send':
          send(effect.to, effect.frame);
          break;
        case 'deliver':
          deliver(effect);
          break;
        case 'view':
          entered(effect.view);
          break;
        case 'capture': {
          const state = capture?.() ?? new Uint8Array(0);
          queueMicrotask(() => this.#step({ kind: 'captured', view: effect.view, state }));
          break;
        }
        case 'restore':
          restore?.(effect.state);
          break;
        case 'left':
          this.#pulse.stop();
          left?.();
          break;
        case 'refused':
          refused?.(effect.id, effect.reason);
          break;
        case 'sent':
          break;
      }
    }
  }
}
