import { DrvsError } from '@drvs/contracts';
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { Actor } from './actor.js';
import type { Authenticated } from './auth.service.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by the guard (REST) or by whoever calls AuthService.authenticate. */
    actor?: Actor;
    authenticated?: Authenticated;
  }
}

export function requireActor(request: FastifyRequest): Actor {
  if (request.actor) return request.actor;
  throw notSignedIn();
}

export function notSignedIn(): DrvsError {
  return new DrvsError('NotAuthenticated', 'you are not signed in', {
    hint: 'Send `Authorization: Bearer <token>`, or sign in at auth/login.',
  });
}

/** Who asks, as a parameter of a controller's method. */
export const CurrentActor = createParamDecorator(
  (_: unknown, context: ExecutionContext): Actor => requireActor(context.getArgByIndex<FastifyRequest>(0)),
);
