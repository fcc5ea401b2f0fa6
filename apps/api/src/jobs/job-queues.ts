import { type BackendFactory, createPostgresBackend, type Job, Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import pg from 'pg';

/**
 * BullMQ on the backend that the installation has: Redis through ioredis when REDIS_URL is given, else PostgreSQL
 * itself (schema `bullmq` of the same database), so that one machine needs no Redis.
 *
 * Delivery is at least once: a worker holds a lock on the job it works on and renews it; when its process dies, the
 * lock runs out and another worker takes the job up. Processors must therefore be safe to run twice.
 */
export interface JobBackend {
  databaseUrl: string;
  redisUrl: string | null;
}

/** A job whose worker has not renewed its lock for this long is taken up by another. */
export const LOCK_MS = 8_000;
/** How often somebody looks for such jobs. */
const STALLED_CHECK_MS = 3_000;
/** A job is taken up again as often as it must: operations have deadlines of their own. */
const MAX_TIMES_STALLED = 1_000;
/**
 * PostgreSQL connections at most. Each worker keeps one for LISTEN (one worker for operations, one per connected
 * node), the rest serve short queries; a larger cluster should give REDIS_URL.
 */
const MAX_POSTGRES_CONNECTIONS = 60;
/** Ended jobs are kept this long (seconds) and this many at most, for whoever waits for their outcome. */
const KEEP_ENDED = { age: 600, count: 2_000 };

type Connection = BorrowedPool | Redis;

export interface WorkerShape {
  concurrency: number;
  /** Ended jobs are removed at once, so that the same id can be added again. */
  removeWhenEnded: boolean;
}

export class JobQueues {
  readonly #queues = new Map<string, Queue>();
  readonly #workers = new Set<Worker>();

  private constructor(
    readonly kind: 'postgresql' | 'redis',
    private readonly connect: (use: 'queue' | 'worker') => Connection,
    private readonly disconnect: () => Promise<void>,
    private readonly onError: (error: Error) => void,
  ) {}

  /** Makes or updates what the backend needs in the database. */
  static async open(backend: JobBackend, onError: (error: Error) => void): Promise<JobQueues> {
    return backend.redisUrl === null
      ? JobQueues.#onPostgres(backend.databaseUrl, onError)
      : JobQueues.#onRedis(backend.redisUrl, onError);
  }

  static async #onPostgres(connectionString: string, onError: (error: Error) => void): Promise<JobQueues> {
    const migrator = new Queue(
      'operations',
      { connection: { connectionString, migrate: true, max: 1 } },
      createPostgresBackend,
    );
    migrator.on('error', onError);
    await migrator.waitUntilReady();
    await migrator.close();
    const pool = new pg.Pool({
      connectionString,
      max: MAX_POSTGRES_CONNECTIONS,
      keepAlive: true,
      options: '-c search_path=bullmq',
      application_name: 'drvs-jobs',
    });
    pool.on('error', onError);
    return new JobQueues(
      'postgresql',
      () => borrowed(pool),
      () => pool.end(),
      onError,
    );
  }

  static async #onRedis(url: string, onError: (error: Error) => void): Promise<JobQueues> {
    const connections: Redis[] = [];
    const connect = (use: 'queue' | 'worker') => {
      // BullMQ's workers wait for Redis without end; a queue that somebody waits for should rather fail.
      const redis = new Redis(url, { maxRetriesPerRequest: use === 'worker' ? null : 3 });
      redis.on('error', onError);
      connections.push(redis);
      return redis;
    };
    const shared = connect('queue');
    await shared.ping();
    return new JobQueues(
      'redis',
      (use) => (use === 'queue' ? shared : connect(use)),
      async () => {
        for (const redis of connections) redis.disconnect();
      },
      onError,
    );
  }

  queue(name: string): Queue {
    const known = this.#queues.get(name);
    if (known) return known;
    const options = { connection: this.connect('queue') };
    const queue = this.#construct((factory) => new Queue(name, options as never, factory as never));
    queue.on('error', this.onError);
    this.#queues.set(name, queue);
    return queue;
  }

  worker(name: string, processor: (job: Job) => Promise<unknown>, shape: WorkerShape): Worker {
    const keep = shape.removeWhenEnded ? { count: 0 } : KEEP_ENDED;
    const options = {
      connection: this.connect('worker'),
      concurrency: shape.concurrency,
      lockDuration: LOCK_MS,
      stalledInterval: STALLED_CHECK_MS,
      maxStalledCount: MAX_TIMES_STALLED,
      removeOnComplete: keep,
      removeOnFail: keep,
    };
    const worker = this.#construct(
      (factory) => new Worker(name, processor, options as never, factory as never),
    );
    worker.on('error', this.onError);
    this.#workers.add(worker);
    return worker;
  }

  /** Waits for the jobs under way of this worker, unless `force`. */
  async closeWorker(worker: Worker, force = false): Promise<void> {
    this.#workers.delete(worker);
    await worker.close(force);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#workers].map((worker) => this.closeWorker(worker)));
    await Promise.all([...this.#queues.values()].map((queue) => queue.close()));
    this.#queues.clear();
    await this.disconnect();
  }

  #construct<T>(make: (factory: BackendFactory | undefined) => T): T {
    return make(
      this.kind === 'postgresql' ? (createPostgresBackend as unknown as BackendFactory) : undefined,
    );
  }
}

type BorrowedPool = Pick<pg.Pool, 'connect' | 'query' | 'end' | 'options'> & { on(): void };

/**
 * The pool as one worker sees it. BullMQ listens to the errors of its pool and never stops listening: with workers
 * that come and go with their agents, a shared pool would gather listeners without end.
 */
function borrowed(pool: pg.Pool): BorrowedPool {
  return {
    connect: pool.connect.bind(pool),
    query: pool.query.bind(pool),
    options: pool.options,
    end: async () => undefined,
    on: () => undefined,
  };
}
