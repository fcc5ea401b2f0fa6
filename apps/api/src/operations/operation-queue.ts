import { OPERATIONS_QUEUE, OperationJob } from '@drvs/contracts';
import { Injectable, Logger } from '@nestjs/common';
import type { Worker } from 'bullmq';
import { Database } from '../database/database.js';
import { JobsService } from '../jobs/jobs.service.js';
import { LedgerSession } from '../jobs/ledger-session.js';
import { Recurring } from '../jobs/recurring.js';
import { RecurringService } from '../jobs/recurring-service.js';
import { OperationAdmission } from './operation-admission.js';
import { OperationRunner } from './operation-runner.js';

/** Operations that this process walks at once; they mostly wait for agents. */
const OPERATIONS_AT_ONCE = 64;
/** How often it is looked whether an operation has lost its job. */
const SWEEP_MS = 5_000;

/**
 * One job an operation that has its place. The job only says "walk this operation"; what is to be done, and what has
 * been done, is in the ledger. So a job may be lost or come twice: every process that starts, and every so often each
 * that runs, adds the missing ones again.
 *
 * An operation is walked by one process at a time, the one that holds its lock. The lock ends with the process: an
 * operation whose job is under way and whose lock is free has lost its walker, and is walked on at once, without
 * waiting until the job's own lock runs out.
 */
@Injectable()
export class OperationQueue extends RecurringService {
  readonly #logger = new Logger('Operations');
  readonly #walks = new Map<string, Promise<void>>();
  #worker: Worker | null = null;
  protected readonly rounds = new Recurring(
    SWEEP_MS,
    () => this.#addMissing(),
    ({ message }) => this.#logger.warn(message),
  );

  constructor(
    private readonly database: Database,
    private readonly jobs: JobsService,
    private readonly runner: OperationRunner,
    private readonly session: LedgerSession,
    private readonly admission: OperationAdmission,
  ) {
    super();
  }

  /** Requests are answered while what was left open is taken up. */
  override onApplicationBootstrap(): void {
    void this.rounds.now();
    this.#worker = this.jobs.queues.worker(
      OPERATIONS_QUEUE,
      (job) => this.#walk(OperationJob.parse(job.data).operationId),
      { concurrency: OPERATIONS_AT_ONCE, removeWhenEnded: true },
    );
    this.#worker.on('failed', (job, error) => {
      if (!this.rounds.signal.aborted)
        this.#logger.error(`operation ${job?.id} will be taken up again: ${error.message}`, error.stack);
    });
    super.onApplicationBootstrap();
  }

  override async stop(): Promise<void> {
    await super.stop();
    if (this.#worker) await this.jobs.queues.closeWorker(this.#worker);
    await Promise.allSettled(this.#walks.values());
  }

  /** Gives those that wait their places, as far as there are any, and queues those that got one. */
  async admit(): Promise<void> {
    for (const id of await this.admission.admit()) await this.#enqueue(id);
  }

  /** The same operation is never queued twice: its id is the job's. */
  async #enqueue(operationId: string): Promise<void> {
    await this.jobs.queues
      .queue(OPERATIONS_QUEUE)
      .add('walk', OperationJob.parse({ operationId }), { jobId: operationId });
  }

  /** Those under way first: they were left in the middle. */
  async #addMissing(): Promise<void> {
    await this.#walkAbandoned();
    await this.admission.admit();
    const admitted = await this.database.unrestricted.operation.findMany({
      where: { state: 'queued', admittedAt: { not: null } },
      select: { id: true },
      orderBy: { id: 'asc' },
    });
    for (const { id } of admitted) await this.#enqueue(id);
  }

  async #walkAbandoned(): Promise<void> {
    const running = await this.database.unrestricted.operation.findMany({
      where: { state: 'running' },
      select: { id: true },
      orderBy: { id: 'asc' },
    });
    for (const { id } of running) {
      if (this.#walks.has(id)) continue;
      this.#walk(id).catch((error: unknown) =>
        this.#logger.warn(`operation ${id}: ${(error as Error).message}`),
      );
    }
  }

  /** Whoever wants it walked here while it is, waits for the same walk. */
  #walk(operationId: string): Promise<void> {
    const known = this.#walks.get(operationId);
    if (known) return known;
    const walk = this.#walkAlone(operationId).finally(() => this.#walks.delete(operationId));
    this.#walks.set(operationId, walk);
    return walk;
  }

  async #walkAlone(operationId: string): Promise<void> {
    const isWalked = await this.session.alone(`operation/${operationId}`, () =>
      this.runner.run(operationId, this.rounds.signal),
    );
    // Else another process walks it. Should that one die, the next sweep sees the lock free.
    if (isWalked && !this.rounds.signal.aborted) await this.admit();
  }
}
