import type { FastifyInstance, FastifyReply, FastifyRequest, onSendHookHandler } from 'fastify';
import { admit } from '../auth/auth.guard.js';
import type { Authenticated, AuthService } from '../auth/auth.service.js';
import type { RateLimits } from '../rate-limits/rate-limits.js';
import { AnswerMemory } from './answer-memory.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What it answers follows from the ledger, the credential and the address alone: not from the clock or an agent. */
    isOfLedger?: boolean;
  }
}

/**
 * Spares the making of an answer that would be the same again.
 *
 * Every request reads its credential anew, and with it the moment of the ledger. Where the same credential was answered
 * about the same address, and the ledger is at the very same moment still, the rows are the same, and so is the answer:
 * it is sent as it was. Nothing is ever answered that is not so: who was locked out is refused, and a change that was
 * committed before the request came has made another moment.
 */
export function repeatLedgerAnswers(
  fastify: FastifyInstance,
  { auth, limits }: { auth: AuthService; limits: RateLimits },
): void {
  const memory = new AnswerMemory();

  const answerAgain = (request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void): void => {
    admit(auth, limits, request, reply).then((authenticated) => {
      const kept = memory.at(authenticated.moment, questionOf(authenticated, request));
      if (kept === undefined) return done();
      if (kept.etag !== undefined) reply.header('etag', kept.etag);
      reply.header('content-type', kept.contentType).send(kept.text);
    }, done);
  };

  const keep: onSendHookHandler<unknown> = (request, reply, payload, done) => {
    done(null, payload);
    const { authenticated } = request;
    if (reply.statusCode !== 200 || typeof payload !== 'string' || authenticated === undefined) return;
    memory.keep(authenticated.moment, questionOf(authenticated, request), {
      text: payload,
      contentType: String(reply.getHeader('content-type')),
      etag: reply.getHeader('etag') as string | undefined,
      madeAt: performance.now(),
    });
  };

  fastify.addHook('onRoute', (route) => {
    if (route.method !== 'GET' || route.config?.isOfLedger !== true) return;
    route.preHandler = [answerAgain, ...[route.preHandler ?? []].flat()];
    route.onSend = [...[route.onSend ?? []].flat(), keep];
  });
}

const questionOf = ({ actor, sessionHash }: Authenticated, { url }: FastifyRequest): string =>
  `${actor.tokenId ?? sessionHash} ${url}`;
