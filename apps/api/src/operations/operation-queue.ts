import {
  type BeforeApplicationShutdown,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { OPERATIONS_QUEUE, OperationJob } from '@drvs/contracts';
import type { Worker } from 'bullmq';
import { Database } from '../database/database.js';
import { JobsService } from '../jobs/jobs.service.js';
import { OperationRunner } from './operation-runner.js';

/** Operations that this process walks at once; they mostly wait for agents. */
const OPERATIONS_AT_ONCE = 32;
/** How often it is looked whether an operation has lost its job. */
const SWEEP_MS = 10_000;

/**
 * One job an operation. The job only says "walk this operation"; what is to be done, and what has been done, is in the
 * ledger. So a job may be lost or come twice: every process that starts, and every so often each that runs, adds the
 * missing ones again.
 */
@Injectable()
export class OperationQueue implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #logger = new Logger('Operations');
  readonly #shutdown = new AbortController();
  #worker: Worker | null = null;
  #sweeper: NodeJS.Timeout | null = null;
  #sweep: Promise<void> = Promise.resolve();

  constructor(
    private readonly database: Database,
    private readonly jobs: JobsService,
    private readonly runner: OperationRunner,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    await this.#addMissing();
    this.#worker = this.jobs.queues.worker(
      OPERATIONS_QUEUE,
      (job) => this.runner.run(OperationJob.parse(job.data).operationId, this.#shutdown.signal),
      { concurrency: OPERATIONS_AT_ONCE, removeWhenEnded: true },
    );
    this.#worker.on('failed', (job, error) => {
      if (!this.#shutdown.signal.aborted)
        this.#logger.error(`operation ${job?.id} will be taken up again: ${error.message}`, error.stack);
    });
    this.#sweeper = setInterval(() => {
      this.#sweep = this.#addMissing().catch((error: unknown) => this.#logger.warn((error as Error).message));
    }, SWEEP_MS);
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#shutdown.abort(new Error('the process is going down'));
    if (this.#sweeper) clearInterval(this.#sweeper);
    await this.#sweep;
    if (this.#worker) await this.jobs.queues.closeWorker(this.#worker);
  }

  /** The same operation is never queued twice: its id is the job's. */
  async enqueue(operationId: string): Promise<void> {
    await this.jobs.queues
      .queue(OPERATIONS_QUEUE)
      .add('walk', OperationJob.parse({ operationId }), { jobId: operationId });
  }

  async #addMissing(): Promise<void> {
    const open = await this.database.unrestricted.operation.findMany({
      where: { state: { in: ['queued', 'running'] } },
      select: { id: true },
      orderBy: { id: 'asc' },
    });
    for (const { id } of open) await this.enqueue(id);
  }
}
