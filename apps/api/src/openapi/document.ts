import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import type { FastifyInstance } from 'fastify';

const OPENAPI_PATH = '/api/v1/openapi.json';

/** Serves the description of REST, made from the controllers and the schemas that they parse with. */
export function serveOpenApi(app: NestFastifyApplication, version: string): void {
  const description = new DocumentBuilder()
    .setTitle('DRVS')
    .setDescription(
      'Virtual machines larger than any node of the cluster. Lists are `{items, nextCursor}`; changes take `Idempotency-Key`; ' +
        'objects carry an ETag and changes honour `If-Match`; errors are problem+json with a stable `code`.',
    )
    .setVersion(version)
    .addBearerAuth({ type: 'http', scheme: 'bearer', description: 'An API token, drvs_…' }, 'token')
    .addCookieAuth('drvs_session', { type: 'apiKey', in: 'cookie', name: 'drvs_session' }, 'session')
    .build();
  const document = JSON.stringify(SwaggerModule.createDocument(app, description));
  const fastify = app.getHttpAdapter().getInstance() as unknown as FastifyInstance;
  fastify.get(OPENAPI_PATH, (_request, reply) =>
    reply.type('application/json; charset=utf-8').send(document),
  );
}
