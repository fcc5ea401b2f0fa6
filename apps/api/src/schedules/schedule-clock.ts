import { Injectable, Logger } from '@nestjs/common';
import { Recurring } from '../jobs/recurring.js';
import { RecurringService } from '../jobs/recurring-service.js';
import { SchedulesService } from './schedules.service.js';

/** How often it is looked whether something is due. */
const LOOK_EVERY_MS = 5_000;

/** Looks at the schedules for as long as the process runs. */
@Injectable()
export class ScheduleClock extends RecurringService {
  readonly #logger = new Logger('Schedules');
  protected readonly rounds = new Recurring(
    LOOK_EVERY_MS,
    () => this.schedules.runDue(),
    ({ message }) => this.#logger.warn(message),
  );

  constructor(private readonly schedules: SchedulesService) {
    super();
  }
}
