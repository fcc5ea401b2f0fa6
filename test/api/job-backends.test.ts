import { DrvsError } from '@drvs/contracts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { JobQueues } from '../../apps/api/src/jobs/job-queues.js';
import { NodeJobs } from '../../apps/api/src/jobs/node-jobs.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';
import { hasRedis, startRedis, type TestRedis } from '../support/redis.js';

let postgres: TestPostgres;
let redis: TestRedis | null = null;

beforeAll(async () => {
  postgres = await startPostgres();
  if (hasRedis) redis = await startRedis();
});

afterAll(async () => {
  await redis?.stop();
  await postgres?.stop();
});

const never = new AbortController().signal;
const backends = hasRedis ? (['postgresql', 'redis'] as const) : (['postgresql'] as const);

describe.each(backends)('jobs on %s', (kind) => {
  const open = async () => {
    const errors: Error[] = [];
    const queues = await JobQueues.open(
      {
        databaseUrl: await postgres.createEmptyDatabase(),
        redisUrl: kind === 'redis' ? `${redis?.url}` : null,
      },
      (error) => errors.push(error),
    );
    expect(queues.kind).toBe(kind);
    return { queues, errors };
  };

  test('a job added twice with one id is done once', async () => {
    const { queues, errors } = await open();
    const done: unknown[] = [];
    const name = `once-${kind}`;
    await queues.queue(name).add('walk', { n: 1 }, { jobId: 'a' });
    await queues.queue(name).add('walk', { n: 2 }, { jobId: 'a' });
    const worker = queues.worker(name, async (job) => void done.push(job.data), {
      concurrency: 4,
      removeWhenEnded: true,
    });
    await new Promise((resolve) => worker.once('completed', resolve));
    expect(done).toEqual([{ n: 1 }]);
    // Its end was removed, so that the same id can be added again.
    expect(await queues.queue(name).getJob('a')).toBeFalsy();
    await queues.close();
    expect(errors).toEqual([]);
  });

  test('a node does what it is given, and its answer and its error come back', async () => {
    const { queues } = await open();
    const nodes = new NodeJobs(queues);
    nodes.serve('n1', async (name, data) => {
      if (name === 'drvm.stop') throw new DrvsError('ContainerUnreachable', 'it hangs', { hint: 'kill it' });
      return { name, data };
    });
    const job = { operationId: 'o', drvmId: 'd', index: 0 };
    await expect(
      nodes.run('n1', 'drvm.prepare', job, { key: 'o.0.1', withinMs: 5_000, signal: never }),
    ).resolves.toEqual({ name: 'drvm.prepare', data: job });
    await expect(
      nodes.run(
        'n1',
        'drvm.stop',
        { operationId: 'o', drvmId: 'd', graceMs: 1 },
        { key: 'o.1.1', withinMs: 5_000, signal: never },
      ),
    ).rejects.toMatchObject({ code: 'ContainerUnreachable', message: 'it hangs', hint: 'kill it' });
    await queues.close();
  });

  test('a job waits for a node that is away, and is taken back when it stays away', async () => {
    const { queues } = await open();
    const nodes = new NodeJobs(queues);
    const job = { operationId: 'o', drvmId: 'd' };
    const waiting = nodes.run('n2', 'drvm.delete', job, { key: 'o.0.1', withinMs: 10_000, signal: never });
    await new Promise((resolve) => setTimeout(resolve, 300));
    const done: unknown[] = [];
    nodes.serve('n2', async (_, data) => void done.push(data));
    await expect(waiting).resolves.toBeNull();
    await nodes.stopServing('n2');
    await expect(
      nodes.run('n2', 'drvm.delete', job, { key: 'o.0.2', withinMs: 300, signal: never }),
    ).rejects.toMatchObject({ code: 'NodeUnreachable' });
    nodes.serve('n2', async (_, data) => void done.push(data));
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(done).toEqual([job]);
    await queues.close();
  });

  test('a job that never ends is ended when nobody waits for it any more, also in another process', async () => {
    const { queues } = await open();
    const told: ((key: string) => void)[] = [];
    const between = {
      tell: async (key: string) => {
        for (const listener of told) listener(key);
      },
      onTold: (listener: (key: string) => void) => void told.push(listener),
    };
    const serving = new NodeJobs(queues, between);
    const asking = new NodeJobs(queues, between);
    const stop = new AbortController();
    let asked: Promise<unknown> | null = null;
    const reason = await new Promise<unknown>((resolve) => {
      serving.serve('n4', (_name, _data, signal) => {
        stop.abort(new DrvsError('Cancelled', 'enough'));
        return new Promise((_, reject) => {
          signal.addEventListener('abort', () => {
            resolve(signal.reason);
            reject(signal.reason);
          });
        });
      });
      asked = expect(
        asking.run(
          'n4',
          'drvm.delete',
          { operationId: 'o', drvmId: 'd' },
          { key: 'o.0.1', withinMs: 60_000, signal: stop.signal },
        ),
      ).rejects.toMatchObject({ message: 'enough' });
    });
    await asked;
    expect(reason).toMatchObject({ code: 'Cancelled' });
    await queues.close();
  });

  test('waiting ends at once when it is cancelled', async () => {
    const { queues } = await open();
    const nodes = new NodeJobs(queues);
    const stop = new AbortController();
    setTimeout(() => stop.abort(new DrvsError('Cancelled', 'enough')), 100);
    const started = Date.now();
    await expect(
      nodes.run(
        'n3',
        'drvm.delete',
        { operationId: 'o', drvmId: 'd' },
        { key: 'o.0.1', withinMs: 60_000, signal: stop.signal },
      ),
    ).rejects.toMatchObject({ code: 'Cancelled' });
    expect(Date.now() - started).toBeLessThan(2_000);
    await queues.close();
  });
});
