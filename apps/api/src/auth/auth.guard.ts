import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { RateLimits } from '../rate-limits/rate-limits.js';
import { type Authenticated, AuthService, CSRF_HEADER, SESSION_COOKIE } from './auth.service.js';
import { notSignedIn } from './current-actor.js';
import { IS_PUBLIC } from './public.js';

const READS = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Every REST call is refused unless it is signed in, or marked Public. GraphQL asks AuthService by itself. */
@Injectable()
export class AuthGuard implements CanActivate {
  constructor(
    private readonly auth: AuthService,
    private readonly reflector: Reflector,
    private readonly limits: RateLimits,
  ) {}

  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    if (context.getType<'http' | 'graphql'>() !== 'http') return true;
    if (this.reflector.getAllAndOverride<boolean>(IS_PUBLIC, [context.getHandler(), context.getClass()]))
      return true;
    // As switchToHttp gives them, which makes an object with three functions each time.
    const request: FastifyRequest = context.getArgByIndex(0);
    // Answers that may be repeated are asked for before Nest's turn: see ledger-answers.ts.
    if (request.authenticated !== undefined) return true;
    return admit(this.auth, this.limits, request, context.getArgByIndex(1)).then(() => true);
  }
}

/**
 * Sets `request.actor` and `request.authenticated`, and counts the request.
 * @throws DrvsError NotAuthenticated, NotAllowed without a session's CSRF token, TooManyRequests
 */
export async function admit(
  auth: AuthService,
  limits: RateLimits,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<Authenticated> {
  const authenticated = await authenticateRequest(auth, request);
  const charged = limits.charge(authenticated.actor, reply);
  if (charged) await charged;
  return authenticated;
}

/** Sets `request.actor`. @throws DrvsError NotAuthenticated, or NotAllowed without a session's CSRF token. */
export async function authenticateRequest(
  auth: AuthService,
  request: FastifyRequest,
): Promise<Authenticated> {
  const { authorization } = request.headers;
  const authenticated = await auth.authenticate({
    authorization,
    sessionCookie: request.cookies?.[SESSION_COOKIE],
  });
  if (!authenticated) throw notSignedIn();
  request.authenticated = authenticated;
  request.actor = authenticated.actor;
  if (!READS.has(request.method)) {
    const header = request.headers[CSRF_HEADER];
    auth.requireCsrf(authenticated, Array.isArray(header) ? header[0] : header);
  }
  return authenticated;
}
