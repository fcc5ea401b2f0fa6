/**
 * What a signal does in the middle of a command. A command that has something to end or to tell puts a handler on top;
 * without one, the signal ends the command at once with 128 + its number. A handler is told how many signals came
 * while it was on top, so that the second ^C can mean more than the first.
 */
import { constants } from 'node:os';

export type InterruptSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP';
export type InterruptHandler = (signal: InterruptSignal, count: number) => void;

export class Interrupts {
  readonly #handlers: { handler: InterruptHandler; count: number }[] = [];
  readonly #exit: (code: number) => void;

  constructor(exit: (code: number) => void) {
    this.#exit = exit;
  }

  install(): void {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.on(signal, () => this.raise(signal));
  }

  raise(signal: InterruptSignal): void {
    const top = this.#handlers.at(-1);
    if (!top) {
      this.#exit(128 + constants.signals[signal]);
      return;
    }
    top.count++;
    top.handler(signal, top.count);
  }

  /** The handler is on top until the returned object is disposed of. */
  take(handler: InterruptHandler): Disposable {
    const entry = { handler, count: 0 };
    this.#handlers.push(entry);
    return {
      [Symbol.dispose]: () => {
        const at = this.#handlers.indexOf(entry);
        if (at >= 0) this.#handlers.splice(at, 1);
      },
    };
  }
}
