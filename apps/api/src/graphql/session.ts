import { DrvsError } from '@drvs/contracts';
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { GqlExecutionContext } from '@nestjs/graphql';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { WebSocket } from 'ws';
import type { Actor } from '../auth/actor.js';
import {
  type Authenticated,
  type AuthService,
  type Credentials,
  CSRF_HEADER,
  SESSION_COOKIE,
} from '../auth/auth.service.js';
import { requireActor } from '../auth/current-actor.js';

/** Whoever is behind one request, or one WebSocket. */
export class GraphqlSession {
  authenticated: Authenticated | null = null;
  #refusal: unknown = null;
  #credentials: Credentials = {};

  constructor(
    readonly request: FastifyRequest,
    private readonly auth: AuthService,
    /** Of a WebSocket: set when the first subscription says who it is. */
    readonly socket: WebSocket | null = null,
  ) {}

  /** Credentials that do not hold are told when something is asked that needs them: one can still sign in anew. */
  async authenticate(authorization = this.request.headers.authorization): Promise<void> {
    this.#credentials = { authorization, sessionCookie: this.request.cookies?.[SESSION_COOKIE] };
    await this.reauthenticate();
  }

  /** With the credentials that were shown. */
  async reauthenticate(): Promise<void> {
    try {
      this.authenticated = await this.auth.authenticate(this.#credentials);
      this.#refusal = null;
    } catch (error) {
      this.authenticated = null;
      this.#refusal = error;
    }
    this.request.authenticated = this.authenticated ?? undefined;
    this.request.actor = this.authenticated?.actor;
  }

  /** @throws DrvsError NotAuthenticated */
  requireAuthenticated(): Authenticated {
    if (this.authenticated) return this.authenticated;
    if (this.#refusal) throw this.#refusal;
    requireActor(this.request);
    throw new DrvsError('NotAuthenticated', 'you are not signed in');
  }

  /** For what changes something. @throws DrvsError NotAllowed without the session's CSRF token */
  requireChanger(): Authenticated {
    const authenticated = this.requireAuthenticated();
    const header = this.request.headers[CSRF_HEADER];
    this.auth.requireCsrf(authenticated, Array.isArray(header) ? header[0] : header);
    return authenticated;
  }
}

export interface GraphqlContext {
  session: GraphqlSession;
  reply?: FastifyReply;
  /** The payload of graphql-transport-ws's connection_init. */
  _connectionInit?: unknown;
}

export const contextOf = (context: ExecutionContext): GraphqlContext =>
  GqlExecutionContext.create(context).getContext<GraphqlContext>();

/** Who asks, in a query. */
export const Reader = createParamDecorator(
  (_: unknown, context: ExecutionContext): Actor => contextOf(context).session.requireAuthenticated().actor,
);

/** Who asks, in a mutation. */
export const Changer = createParamDecorator(
  (_: unknown, context: ExecutionContext): Actor => contextOf(context).session.requireChanger().actor,
);
