import type { BeforeApplicationShutdown, OnApplicationBootstrap } from '@nestjs/common';
import type { Recurring } from './recurring.js';

/** Does its rounds from when the application is up until it goes down, or until it is told to stop. */
export abstract class RecurringService implements OnApplicationBootstrap, BeforeApplicationShutdown {
  protected abstract readonly rounds: Recurring;

  onApplicationBootstrap(): void | Promise<void> {
    this.rounds.start();
  }

  beforeApplicationShutdown(): Promise<void> {
    return this.stop();
  }

  /** A round at once, or the end of the one that is under way. Does not throw. */
  now(): Promise<void> {
    return this.rounds.now();
  }

  /** It does no more by itself; resolves when what is under way has ended. */
  stop(): Promise<void> {
    return this.rounds.stop();
  }
}
