import { DrvsError } from '@drvs/contracts';
import { Body, Controller, Get, HttpCode, Post, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { ZodPipe } from '../http/zod.pipe.js';
import { LoginAnswer, ViewerAnswer } from '../openapi/answers.js';
import { Endpoint } from '../openapi/endpoint.js';
import { AuthService, SESSION_COOKIE, type Viewer } from './auth.service.js';
import { MAX_PASSWORD_LENGTH } from './password.js';
import { Public } from './public.js';

const Login = z.object({
  name: z.string().min(1).max(200),
  password: z.string().min(1).max(MAX_PASSWORD_LENGTH),
});

@ApiTags('auth')
@Controller('api/v1/auth')
export class AuthController {
  constructor(private readonly auth: AuthService) {}

  @Public()
  @Post('login')
  @HttpCode(200)
  @Endpoint({
    summary: 'Sign in with a password; answers a session cookie and the CSRF token that goes with it',
    body: Login,
    answer: LoginAnswer,
    problems: ['NotAuthenticated', 'NotAllowed'],
    isPublic: true,
  })
  async login(
    @Body(new ZodPipe(Login)) { name, password }: z.infer<typeof Login>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<{ user: Viewer; csrfToken: string }> {
    const { viewer, csrfToken, cookie } = await this.auth.login(name, password, request.ip);
    void reply.header('cache-control', 'no-store');
    setSessionCookie(request, reply, cookie);
    return { user: viewer, csrfToken };
  }

  @Post('logout')
  @HttpCode(204)
  @Endpoint({ summary: 'End the session', status: 204 })
  async logout(
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<void> {
    if (!request.authenticated) throw new DrvsError('NotAuthenticated', 'you are not signed in');
    await this.auth.logout(request.authenticated);
    void reply.clearCookie(SESSION_COOKIE, { path: '/' });
  }

  @Get('me')
  @Endpoint({ summary: 'Who you are', answer: ViewerAnswer })
  me(@Req() request: FastifyRequest): Promise<Viewer> {
    if (!request.authenticated) throw new DrvsError('NotAuthenticated', 'you are not signed in');
    return this.auth.viewer(request.authenticated);
  }
}

/** HttpOnly and SameSite=Lax; Secure wherever the browser came over TLS. It ends with the browser, or when idle. */
export function setSessionCookie(request: FastifyRequest, reply: FastifyReply, cookie: string): void {
  void reply.setCookie(SESSION_COOKIE, cookie, {
    path: '/',
    httpOnly: true,
    sameSite: 'lax',
    secure: request.protocol === 'https',
  });
}
