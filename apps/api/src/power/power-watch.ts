import { Injectable, Logger } from '@nestjs/common';
import { Database } from '../database/database.js';
import { Recurring } from '../jobs/recurring.js';
import { RecurringService } from '../jobs/recurring-service.js';
import { PowerService } from './power.service.js';

const LOOK_EVERY_MS = 1_000;
/** Nodes that are off or failed are looked at this seldom: whether somebody switched them on by hand. */
const RESTING_EVERY = 5;

/** Goes on with what was asked for when whoever asked does not wait any more, and notices nodes switched on by hand. */
@Injectable()
export class PowerWatch extends RecurringService {
  readonly #logger = new Logger('Power');
  /** A driver may take long. */
  protected readonly rounds = new Recurring(
    LOOK_EVERY_MS,
    (signal) => this.#look(signal),
    ({ message }) => this.#logger.warn(message),
  );
  #round = 0;

  constructor(
    private readonly database: Database,
    private readonly power: PowerService,
  ) {
    super();
  }

  async #look(signal: AbortSignal): Promise<void> {
    const resting = this.#round++ % RESTING_EVERY === 0 ? ['off', 'failed'] : [];
    const rows = await this.database.unrestricted.nodePower.findMany({
      where: { state: { in: ['powering-off', 'powering-on', 'joining', ...resting] } },
      select: { nodeId: true },
    });
    const outcomes = await Promise.allSettled(rows.map(({ nodeId }) => this.power.look(nodeId, signal)));
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected' && !signal.aborted)
        this.#logger.warn((outcome.reason as Error).message);
    }
  }
}
