import { DrvsError } from '@drvs/contracts';
import httpProxy from '@fastify/http-proxy';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import { isOwnPath } from './own-paths.js';
import { sendProblem } from './problem.filter.js';

/**
 * Hands all that is not the API's on to the portal's server, WebSockets too: browser, API and portal share one
 * origin, so cookies need no exceptions and the portal no address.
 */
export async function proxyPortal(app: NestFastifyApplication, portalUrl: string): Promise<void> {
  const fastify = app.getHttpAdapter().getInstance() as unknown as FastifyInstance;
  await fastify.register(httpProxy, {
    upstream: portalUrl,
    websocket: true,
    preHandler: async (request) => {
      if (isOwnPath(request.url))
        throw new DrvsError('NotFound', `there is no ${request.method} ${request.url}`);
    },
    replyOptions: {
      rewriteRequestHeaders: (request, headers) => ({
        ...headers,
        host: request.headers.host ?? headers.host,
        'x-forwarded-host': request.headers.host,
        'x-forwarded-proto': (request as { protocol?: string }).protocol ?? 'http',
      }),
      onError: (reply, { error }) => {
        sendProblem(
          reply as unknown as Parameters<typeof sendProblem>[0],
          new DrvsError('NodeUnreachable', `the portal does not answer: ${error.message}`, {
            hint: 'See `drvs status`; the API and the command line work without it.',
          }),
          (message, cause) => fastify.log.error({ cause }, message),
        );
      },
    },
  });
}
