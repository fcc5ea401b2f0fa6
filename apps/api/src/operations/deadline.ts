import { AsyncLocalStorage } from 'node:async_hooks';
import { DrvsError } from '@drvs/contracts';
import type { FastifyInstance } from 'fastify';

/** Seconds within which the operations that a request starts must have ended. */
const DEADLINE_HEADER = 'operation-deadline';
const LONGEST_SECONDS = 30 * 86_400;

const requested = new AsyncLocalStorage<number>();

/**
 * Whatever a request starts gets the deadline that its header names: one rule for every call of REST and GraphQL that
 * starts an operation, those that are yet to come too.
 */
export function acceptDeadlines(fastify: FastifyInstance): void {
  fastify.addHook('preHandler', (request, _reply, done) => {
    const header = request.headers[DEADLINE_HEADER];
    if (header === undefined) return done();
    const seconds = Number(header);
    if (!(seconds >= 1 && seconds <= LONGEST_SECONDS)) {
      return done(
        new DrvsError('InvalidInput', 'a deadline is a number of seconds from 1 to 30 days', {
          field: 'Operation-Deadline',
        }),
      );
    }
    requested.run(seconds * 1_000, done);
  });
}

/** When what is started now must have ended; null without a deadline. */
export function requestedDeadline(now: number): Date | null {
  const withinMs = requested.getStore();
  return withinMs === undefined ? null : new Date(now + withinMs);
}

export const deadlinePassed = (deadline: Date, cause?: unknown): DrvsError =>
  new DrvsError(
    'Timeout',
    `It had not ended by its deadline, ${deadline.toISOString()}${cause instanceof Error ? `: ${cause.message}` : ''}`,
    {
      hint: 'See its log for what took so long; ask for it again with a later deadline, or without one.',
      cause,
    },
  );
