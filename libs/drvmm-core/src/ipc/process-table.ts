import { formatEndpoint, isEndpoint, slotOf, TASK_SLOTS } from './endpoint.js';
import { ESLOTUSED } from './errors.js';
import type { LocalProcess } from './local-process.js';

/** Who is bound here, by slot; and who is on the way here. */
export class ProcessTable {
  /** By slot + TASK_SLOTS. */
  #slots: (LocalProcess | undefined)[] = new Array(TASK_SLOTS + 256).fill(undefined);
  readonly processes = new Set<LocalProcess>();
  /**
   * Installed, and not committed yet: not visible to anybody here. What comes for them is held; what goes to them
   * goes to where they still live.
   */
  readonly arriving = new Map<number, LocalProcess>();

  enter(process: LocalProcess): void {
    const slot = slotOf(process.endpoint);
    if (!isEndpoint(process.endpoint)) throw new Error(`EBADSRCDST: ${process.endpoint} is not an endpoint`);
    const at = slot + TASK_SLOTS;
    while (at >= this.#slots.length)
      this.#slots = this.#slots.concat(new Array(this.#slots.length).fill(undefined));
    const holder = this.#slots[at];
    if (holder !== undefined) {
      throw new Error(
        `ESLOTUSED (${ESLOTUSED}): slot ${slot} is bound to ${formatEndpoint(holder.endpoint)}`,
      );
    }
    this.#slots[at] = process;
    this.processes.add(process);
  }

  leave(process: LocalProcess): void {
    process.isDead = true;
    this.#slots[slotOf(process.endpoint) + TASK_SLOTS] = undefined;
    this.processes.delete(process);
  }

  find(endpoint: number): LocalProcess | undefined {
    const process = this.#slots[slotOf(endpoint) + TASK_SLOTS];
    return process !== undefined && process.endpoint === endpoint ? process : undefined;
  }
}
