import {
  type BeforeApplicationShutdown,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { SchedulesService } from './schedules.service.js';

/** How often it is looked whether something is due. */
const LOOK_EVERY_MS = 5_000;

/** Looks at the schedules for as long as the process runs. */
@Injectable()
export class ScheduleClock implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #logger = new Logger('Schedules');
  #timer: NodeJS.Timeout | null = null;
  #look: Promise<void> = Promise.resolve();
  #isStopped = false;

  constructor(private readonly schedules: SchedulesService) {}

  onApplicationBootstrap(): void {
    this.#next();
  }

  beforeApplicationShutdown(): Promise<void> {
    return this.stop();
  }

  /** It looks no more. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    if (this.#timer) clearTimeout(this.#timer);
    await this.#look;
  }

  #next(): void {
    if (this.#isStopped) return;
    this.#timer = setTimeout(() => {
      this.#look = this.schedules
        .runDue()
        .catch((error: unknown) => this.#logger.warn((error as Error).message))
        .finally(() => this.#next());
    }, LOOK_EVERY_MS);
    this.#timer.unref();
  }
}
