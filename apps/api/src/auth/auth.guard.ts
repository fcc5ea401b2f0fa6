import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { RateLimits } from '../rate-limits/rate-limits.js';
import { AuthService, CSRF_HEADER, SESSION_COOKIE } from './auth.service.js';
import { requireActor } from './current-actor.js';
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

  async canActivate(context: ExecutionContext): Promise<boolean> {
    if (context.getType<'http' | 'graphql'>() !== 'http') return true;
    if (this.reflector.getAllAndOverride<boolean>(IS_PUBLIC, [context.getHandler(), context.getClass()]))
      return true;
    const http = context.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    await authenticateRequest(this.auth, request);
    if (request.actor) await this.limits.charge(request.actor, http.getResponse<FastifyReply>());
    return true;
  }
}

/** Sets `request.actor`. @throws DrvsError NotAuthenticated, or NotAllowed without a session's CSRF token. */
export async function authenticateRequest(auth: AuthService, request: FastifyRequest): Promise<void> {
  const { authorization } = request.headers;
  const authenticated = await auth.authenticate({
    authorization,
    sessionCookie: request.cookies?.[SESSION_COOKIE],
  });
  if (authenticated) {
    request.authenticated = authenticated;
    request.actor = authenticated.actor;
    if (!READS.has(request.method)) {
      const header = request.headers[CSRF_HEADER];
      auth.requireCsrf(authenticated, Array.isArray(header) ? header[0] : header);
    }
  }
  requireActor(request);
}
