import { DrvsError } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import type { Actor } from '../auth/actor.js';
import type { Rate } from '../settings/settings.js';
import { SettingsService } from '../settings/settings.service.js';
import { TokenBuckets } from './token-buckets.js';

const FRESH_MS = 2_000;

/** As they are set. */
interface Rates {
  token: Rate | null;
  tenant: Rate | null;
  cluster: Rate | null;
}

interface Limit {
  kind: 'token' | 'tenant';
  key: string;
  rate: Rate;
}

/**
 * How many requests one token or user, and one department together, may send. Counted by each API process for itself,
 * after it is known who asks: nobody can use up the share of another. The headers are those of the IETF's draft
 * (draft-ietf-httpapi-ratelimit-headers): `RateLimit-Policy` and `RateLimit` of the tighter limit, and with 429
 * `Retry-After`.
 */
@Injectable()
export class RateLimits {
  readonly #buckets = new TokenBuckets();
  readonly #policies = new WeakMap<Rate, string>();
  #rates: Rates | null = null;
  #freshUntil = Number.NEGATIVE_INFINITY;

  constructor(private readonly settings: SettingsService) {}

  /** @throws DrvsError TooManyRequests with `retryAfterSeconds`; a promise only when the limits must be read first */
  charge(actor: Actor, reply: FastifyReply | undefined): void | Promise<void> {
    if (this.#rates !== null && performance.now() <= this.#freshUntil)
      return this.#charge(limitsOf(actor, this.#rates), reply);
    return this.#read().then((rates) => this.#charge(limitsOf(actor, rates), reply));
  }

  #charge(limits: readonly Limit[], reply: FastifyReply | undefined): void {
    let tightest: { limit: Limit; remaining: number } | null = null;
    for (const limit of limits) {
      const { remaining, retryAfterSeconds } = this.#buckets.look(limit.key, limit.rate);
      if (retryAfterSeconds > 0) {
        this.#tell(reply, limit, 0, retryAfterSeconds);
        throw tooMany(limit, retryAfterSeconds);
      }
      if (tightest === null || remaining < tightest.remaining) tightest = { limit, remaining };
    }
    for (const limit of limits) this.#buckets.take(limit.key, limit.rate);
    if (tightest) this.#tell(reply, tightest.limit, tightest.remaining - 1, 0);
  }

  async #read(): Promise<Rates> {
    const rates = {
      token: await this.settings.get('rateLimits.token'),
      tenant: await this.settings.get('rateLimits.tenant'),
      cluster: await this.settings.get('rateLimits.cluster'),
    };
    this.#rates = rates;
    this.#freshUntil = performance.now() + FRESH_MS;
    return rates;
  }

  #tell(reply: FastifyReply | undefined, { kind, rate }: Limit, remaining: number, seconds: number): void {
    if (!reply || reply.sent) return;
    let policy = this.#policies.get(rate);
    if (policy === undefined) {
      policy = `;q=${rate.burst};w=${Math.max(1, Math.ceil(rate.burst / rate.perSecond))}`;
      this.#policies.set(rate, policy);
    }
    void reply.header('ratelimit-policy', `"${kind}"${policy}`);
    void reply.header('ratelimit', `"${kind}";r=${remaining};t=${Math.ceil(seconds)}`);
  }
}

function limitsOf(actor: Actor, { token, tenant, cluster }: Rates): Limit[] {
  const own = actor.tenantId === null ? cluster : token;
  const limits: Limit[] = [];
  if (own) limits.push({ kind: 'token', key: `t/${actor.tokenId ?? actor.userId ?? actor.name}`, rate: own });
  if (actor.tenantId !== null && tenant)
    limits.push({ kind: 'tenant', key: `d/${actor.tenantId}`, rate: tenant });
  return limits;
}

function tooMany({ kind, rate }: Limit, seconds: number): DrvsError {
  const retryAfterSeconds = Math.max(1, Math.ceil(seconds));
  const whose = kind === 'token' ? 'this token or user' : 'this department';
  return new DrvsError('TooManyRequests', `${whose} may send ${rate.perSecond} requests a second`, {
    hint: `Wait ${retryAfterSeconds} s and try again; a supra-administrator can set another limit (\`drvs setting list\`).`,
    details: { retryAfterSeconds },
  });
}
