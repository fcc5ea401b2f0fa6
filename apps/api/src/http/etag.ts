import { DrvsError } from '@drvs/contracts';
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyInstance, FastifyRequest } from 'fastify';

/** The generation named by If-Match; null when the caller does not mind (no header, or `*`). */
export const IfMatch = createParamDecorator((_: unknown, context: ExecutionContext): number | null => {
  const header = context.switchToHttp().getRequest<FastifyRequest>().headers['if-match'];
  if (header === undefined || header === '*') return null;
  const generation = /^(?:W\/)?"(\d+)"$/.exec(header)?.[1];
  if (generation === undefined) {
    throw new DrvsError('InvalidInput', `If-Match: ${header} is not an ETag of this API`, {
      field: 'If-Match',
      hint: 'Send the ETag as it was answered, with its quotes, for instance If-Match: "7".',
    });
  }
  return Number(generation);
});

/** @throws DrvsError StaleGeneration when the caller read another generation than there is now. */
export function requireGeneration(object: string, expected: number | null, actual: number): void {
  if (expected === null || expected === actual) return;
  throw new DrvsError('StaleGeneration', `${object} is at generation ${actual}, and you read ${expected}`, {
    hint: 'Read it again, look at what has changed, and repeat your change.',
    details: { expected, actual },
  });
}

/** Answers that carry a generation get it as their ETag. */
export function sendETags(fastify: FastifyInstance): void {
  fastify.addHook('preSerialization', (_request, reply, payload, done) => {
    const generation = (payload as { generation?: unknown } | null | undefined)?.generation;
    if (typeof generation === 'number') reply.header('etag', `"${generation}"`);
    done(null, payload);
  });
}
