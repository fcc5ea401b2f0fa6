import {
  type BeforeApplicationShutdown,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { Database } from '../database/database.js';
import { PowerService } from './power.service.js';

const LOOK_EVERY_MS = 1_000;
/** Nodes that are off or failed are looked at this seldom: whether somebody switched them on by hand. */
const RESTING_EVERY = 5;

/** Goes on with what was asked for when whoever asked does not wait any more, and notices nodes switched on by hand. */
@Injectable()
export class PowerWatch implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #logger = new Logger('Power');
  readonly #stop = new AbortController();
  #timer: NodeJS.Timeout | null = null;
  #round = 0;
  #look: Promise<void> | null = null;

  constructor(
    private readonly database: Database,
    private readonly power: PowerService,
  ) {}

  onApplicationBootstrap(): void {
    this.#timer = setInterval(() => {
      // A driver may take long: the next look begins when this one has ended.
      this.#look ??= this.look()
        .catch((error: unknown) => {
          if (!this.#stop.signal.aborted) this.#logger.warn((error as Error).message);
        })
        .finally(() => {
          this.#look = null;
        });
    }, LOOK_EVERY_MS);
  }

  async beforeApplicationShutdown(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    this.#stop.abort(new Error('the API is going down'));
    await this.#look;
  }

  async look(): Promise<void> {
    const resting = this.#round++ % RESTING_EVERY === 0 ? ['off', 'failed'] : [];
    const rows = await this.database.unrestricted.nodePower.findMany({
      where: { state: { in: ['powering-off', 'powering-on', 'joining', ...resting] } },
      select: { nodeId: true },
    });
    const outcomes = await Promise.allSettled(
      rows.map(({ nodeId }) => this.power.look(nodeId, this.#stop.signal)),
    );
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected' && !this.#stop.signal.aborted)
        this.#logger.warn((outcome.reason as Error).message);
    }
  }
}
