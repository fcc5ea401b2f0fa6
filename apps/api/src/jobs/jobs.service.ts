import { Inject, Injectable, Logger, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { CONFIG, type Config } from '../config/config.js';
import { JobQueues } from './job-queues.js';
import { LedgerSession } from './ledger-session.js';
import { NodeJobs } from './node-jobs.js';

/** Opens the queues when the process starts, closes them when it ends. */
@Injectable()
export class JobsService implements OnModuleInit, OnApplicationShutdown {
  readonly #logger = new Logger('Jobs');
  #queues: JobQueues | null = null;
  #nodes: NodeJobs | null = null;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly notices: LedgerSession,
  ) {}

  get queues(): JobQueues {
    if (!this.#queues) throw new Error('the queues are not open yet');
    return this.#queues;
  }

  get nodes(): NodeJobs {
    if (!this.#nodes) throw new Error('the queues are not open yet');
    return this.#nodes;
  }

  async onModuleInit(): Promise<void> {
    const { databaseUrl, redisUrl } = this.config;
    this.#queues = await JobQueues.open({ databaseUrl, redisUrl }, (error) =>
      this.#logger.warn(error.message),
    );
    this.#nodes = new NodeJobs(this.#queues, {
      tell: (key) => this.notices.tell('drvs_job', key),
      onTold: (listener) => this.notices.onTold('drvs_job', listener),
    });
    this.#logger.log(`jobs are kept in ${this.#queues.kind}`);
  }

  async onApplicationShutdown(): Promise<void> {
    await this.#queues?.close();
  }
}
