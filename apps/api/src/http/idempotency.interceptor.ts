import { createHash } from 'node:crypto';
import { DrvsError } from '@drvs/contracts';
import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { from, lastValueFrom, type Observable } from 'rxjs';
import { actorLabel } from '../auth/actor.js';
import { SecretBox } from '../config/secret-box.js';
import { Database } from '../database/database.js';

const CHANGES = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);
const MAX_KEY_LENGTH = 200;
/** A change that has not answered within this is taken for dead, and the key may be used again. */
const UNDER_WAY_FOR_MS = 120_000;
const KEPT_HEADERS = ['etag', 'location', 'content-type'] as const;

interface KeptAnswer {
  headers: Record<string, string>;
  body: unknown;
}

/**
 * The same change sent twice with one Idempotency-Key is made once; the second time gets the first answer, with
 * `Idempotency-Replayed: true`. Only what succeeded is kept: after an error the key may be used again.
 */
@Injectable()
export class IdempotencyInterceptor implements NestInterceptor {
  constructor(
    private readonly database: Database,
    private readonly secretBox: SecretBox,
  ) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (context.getType<'http' | 'graphql'>() !== 'http') return next.handle();
    const http = context.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    const key = request.headers['idempotency-key'];
    if (key === undefined || !CHANGES.has(request.method) || !request.actor) return next.handle();
    // Files are streamed, and writing one twice is writing it once anyway.
    if (isStreamed(request)) return next.handle();
    if (typeof key !== 'string' || key.length === 0 || key.length > MAX_KEY_LENGTH) {
      throw new DrvsError('InvalidInput', `an Idempotency-Key has 1 to ${MAX_KEY_LENGTH} characters`, {
        field: 'Idempotency-Key',
      });
    }
    return from(this.#once(request, http.getResponse<FastifyReply>(), key, next));
  }

  async #once(
    request: FastifyRequest,
    reply: FastifyReply,
    key: string,
    next: CallHandler,
  ): Promise<unknown> {
    const actor = request.actor;
    if (!actor) throw new DrvsError('NotAuthenticated', 'no one is signed in');
    const owner = `${actorLabel(actor)}#${actor.tokenId ?? actor.userId ?? ''}`;
    const id = { actor_key: { actor: owner, key } };
    const requestHash = createHash('sha256')
      .update(JSON.stringify([request.method, request.url, request.body ?? null]))
      .digest('hex');
    const { unrestricted } = this.database;
    const staleBefore = new Date(Date.now() - UNDER_WAY_FOR_MS);
    await unrestricted.idempotencyKey.deleteMany({
      where: { actor: owner, key, status: null, createdAt: { lt: staleBefore } },
    });
    const { count } = await unrestricted.idempotencyKey.createMany({
      data: { actor: owner, key, requestHash },
      skipDuplicates: true,
    });
    if (count === 0) return this.#replay(reply, id.actor_key, requestHash);
    try {
      const body: unknown = await lastValueFrom(next.handle(), { defaultValue: undefined });
      const headers: Record<string, string> = {};
      for (const name of KEPT_HEADERS) {
        const value = reply.getHeader(name);
        if (typeof value === 'string') headers[name] = value;
      }
      const kept: KeptAnswer = { headers, body: body ?? null };
      const answer = this.secretBox.seal(Buffer.from(JSON.stringify(kept)), `idempotency/${owner}/${key}`);
      await unrestricted.idempotencyKey.update({ where: id, data: { status: reply.statusCode, answer } });
      return body;
    } catch (error) {
      await unrestricted.idempotencyKey.deleteMany({ where: { actor: owner, key, status: null } });
      throw error;
    }
  }

  async #replay(
    reply: FastifyReply,
    id: { actor: string; key: string },
    requestHash: string,
  ): Promise<unknown> {
    const kept = await this.database.unrestricted.idempotencyKey.findUnique({ where: { actor_key: id } });
    if (kept && kept.requestHash !== requestHash) {
      throw new DrvsError('StateConflict', 'this Idempotency-Key was used for another request', {
        field: 'Idempotency-Key',
        hint: 'Use a new key for each change; the same key only to repeat the same change.',
      });
    }
    if (!kept || kept.status === null || kept.answer === null) {
      throw new DrvsError(
        'OperationUnderWay',
        'the first request with this Idempotency-Key is still under way',
        {
          hint: 'Try again in a moment with the same key.',
          details: { retryAfterSeconds: 1 },
        },
      );
    }
    const { headers, body } = JSON.parse(
      this.secretBox.open(kept.answer, `idempotency/${id.actor}/${id.key}`).toString('utf8'),
    ) as KeptAnswer;
    void reply.status(kept.status).headers(headers).header('idempotency-replayed', 'true');
    return body;
  }
}

function isStreamed(request: FastifyRequest): boolean {
  const type = request.headers['content-type'];
  return type !== undefined && !type.startsWith('application/json');
}
