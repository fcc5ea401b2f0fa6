import { EventEmitter, once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { type AgentJob, AgentJobs, agentQueue, DrvsError, type ErrorBody } from '@drvs/contracts';
import type { Job, Worker } from 'bullmq';
import type { z } from 'zod';
import type { JobQueues } from './job-queues.js';

export type AgentJobData<J extends AgentJob> = z.infer<(typeof AgentJobs)[J]>;

/** What a node's worker answers: a job always completes, so that its outcome can be read by whoever asked. */
export type NodeJobOutcome = { result: unknown } | { error: ErrorBody };

/** `signal` aborts when whoever asked for it has given up. */
export type NodeJobProcessor = (name: AgentJob, data: unknown, signal: AbortSignal) => Promise<unknown>;

/** How one API process tells the others that nobody waits for a job any more. */
export interface GivenUp {
  tell(key: string): Promise<void>;
  onTold(listener: (key: string) => void): void;
}

export interface NodeJobOptions {
  /** Unique per attempt. Asked again with the same key, the outcome of the first is given. */
  key: string;
  /** Milliseconds until the job must have ended; a job that nobody has begun by then is taken back. */
  withinMs: number;
  signal: AbortSignal;
  /**
   * Aborts when what is done is no longer wanted, and what is half done is to be given back: that is still done under
   * `signal`. Without it, only `signal` ends it, and giving back is another's.
   */
  cancel?: AbortSignal;
}

/** Jobs of one node under way at once. */
const JOBS_PER_NODE = 8;
/** How often the outcome of a job is looked up when another API process may be doing it. */
const POLL_MS = 200;

/**
 * Work for the agents, by one queue per node. The API process that holds a node's channel serves that node's queue;
 * whichever process runs an operation adds to it and waits for the outcome. While the agent is away, nobody serves
 * the queue and the job waits there.
 */
export class NodeJobs {
  readonly #served = new Map<string, Worker>();
  readonly #ended = new EventEmitter().setMaxListeners(0);
  /** Of the jobs that this process does. */
  readonly #underWay = new Map<string, AbortController>();

  constructor(
    private readonly queues: JobQueues,
    private readonly givenUp: GivenUp = NOBODY_ELSE,
  ) {
    givenUp.onTold((key) => this.#endJob(key));
  }

  /** Begins to serve a node's queue; `process` throws a DrvsError to say that it failed. */
  serve(nodeId: string, process: NodeJobProcessor): void {
    if (this.#served.has(nodeId)) return;
    const perform = async (job: Job): Promise<NodeJobOutcome> => {
      const key = String(job.id);
      const end = new AbortController();
      this.#underWay.set(key, end);
      try {
        return { result: (await process(job.name as AgentJob, job.data, end.signal)) ?? null };
      } catch (error) {
        return { error: DrvsError.from(end.signal.aborted ? end.signal.reason : error).toBody() };
      } finally {
        if (this.#underWay.get(key) === end) this.#underWay.delete(key);
      }
    };
    const worker = this.queues.worker(agentQueue(nodeId), perform, {
      concurrency: JOBS_PER_NODE,
      removeWhenEnded: false,
    });
    worker.on('completed', (job) => this.#ended.emit(String(job.id)));
    this.#served.set(nodeId, worker);
  }

  async stopServing(nodeId: string): Promise<void> {
    const worker = this.#served.get(nodeId);
    this.#served.delete(nodeId);
    if (worker) await this.queues.closeWorker(worker);
  }

  /**
   * Adds a job to a node's queue and waits for its outcome.
   *
   * @throws DrvsError what the agent answered; NodeUnreachable when nobody did it in time
   */
  async run<J extends AgentJob>(
    nodeId: string,
    name: J,
    data: AgentJobData<J>,
    { key, withinMs, signal }: NodeJobOptions,
  ): Promise<unknown> {
    signal.throwIfAborted();
    const queue = this.queues.queue(agentQueue(nodeId));
    await queue.add(name, AgentJobs[name].parse(data), { jobId: key });
    const until = Date.now() + withinMs;
    try {
      for (;;) {
        const outcome = await this.#outcome(nodeId, key);
        if (outcome && 'error' in outcome) throw DrvsError.fromBody(outcome.error);
        if (outcome) return outcome.result;
        if (Date.now() >= until) {
          throw new DrvsError('NodeUnreachable', `The node did not do ${name} within ${withinMs / 1000} s`, {
            hint: 'Is its agent running? See `drvs node list`.',
          });
        }
        await this.#endedOrPoll(key, Math.min(POLL_MS, until - Date.now()), signal);
      }
    } catch (error) {
      await this.#takeBack(nodeId, key);
      throw error;
    }
  }

  async #outcome(nodeId: string, key: string): Promise<NodeJobOutcome | null> {
    const job = await this.queues.queue(agentQueue(nodeId)).getJob(key);
    if (!job) return null;
    if (await job.isCompleted()) return job.returnvalue as NodeJobOutcome;
    if (!(await job.isFailed())) return null;
    return { error: { code: 'Internal', message: job.failedReason ?? 'the job failed' } };
  }

  async #endedOrPoll(key: string, ms: number, signal: AbortSignal): Promise<void> {
    const stop = new AbortController();
    const either = AbortSignal.any([signal, stop.signal]);
    try {
      await Promise.race([
        once(this.#ended, key, { signal: either }),
        delay(Math.max(1, ms), undefined, { signal: either }),
      ]);
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    } finally {
      stop.abort();
    }
  }

  /**
   * A job that nobody has begun is removed. One under way is ended: what comes after it does not wait behind it, and its
   * effect is undone by whoever gave up.
   */
  async #takeBack(nodeId: string, key: string): Promise<void> {
    const job = await this.queues.queue(agentQueue(nodeId)).getJob(key);
    if (!job) return;
    const isGone = await job.remove().then(
      () => true,
      () => false,
    );
    if (isGone || this.#endJob(key)) return;
    await this.givenUp.tell(key).catch(() => undefined);
  }

  #endJob(key: string): boolean {
    const end = this.#underWay.get(key);
    end?.abort(new DrvsError('Cancelled', 'whoever asked for it has given up'));
    return end !== undefined;
  }
}

const NOBODY_ELSE: GivenUp = {
  async tell() {},
  onTold() {},
};
