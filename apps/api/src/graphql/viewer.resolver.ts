import { DrvsError } from '@drvs/contracts';
import { Args, Context, Mutation, Query, Resolver } from '@nestjs/graphql';
import { setSessionCookie } from '../auth/auth.controller.js';
import { AuthService, SESSION_COOKIE } from '../auth/auth.service.js';
import { Viewer } from './object-types.js';
import type { GraphqlContext } from './session.js';

@Resolver(() => Viewer)
export class ViewerResolver {
  constructor(private readonly auth: AuthService) {}

  @Query(() => Viewer)
  me(@Context() { session }: GraphqlContext): Promise<Viewer> {
    return this.auth.viewer(session.requireAuthenticated());
  }

  @Mutation(() => Viewer, { description: 'Answers the session cookie, and the CSRF token that goes with it' })
  async login(
    @Args('name') name: string,
    @Args('password') password: string,
    @Context() { session, reply }: GraphqlContext,
  ): Promise<Viewer> {
    if (!reply) throw new DrvsError('InvalidInput', 'signing in takes a request of its own, not a WebSocket');
    const { viewer, csrfToken, cookie } = await this.auth.login(name, password, session.request.ip);
    setSessionCookie(session.request, reply, cookie);
    return { ...viewer, csrfToken };
  }

  @Mutation(() => Boolean)
  async logout(@Context() { session, reply }: GraphqlContext): Promise<boolean> {
    await this.auth.logout(session.requireChanger());
    void reply?.clearCookie(SESSION_COOKIE, { path: '/' });
    return true;
  }
}
