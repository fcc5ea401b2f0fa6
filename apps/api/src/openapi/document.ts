import type { INestApplication } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import type { FastifyInstance } from 'fastify';
import { ProblemAnswer } from './answers.js';
import { openApiSchema } from './endpoint.js';
import { namedSchemas } from './named-schemas.js';
import { type ApiDocument, tidy, wholeDocument } from './whole-document.js';

export const OPENAPI_PATH = '/api/v1/openapi.json';

/** The description of REST, made from the controllers and the schemas that they parse with. */
export function apiDocument(app: INestApplication, version: string): ApiDocument {
  const description = new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('DRVS')
    .setDescription(
      'Virtual machines larger than any node of the cluster. Lists are `{items, nextCursor}`; changes take `Idempotency-Key`; ' +
        'objects carry an ETag and changes honour `If-Match`; errors are problem+json with a stable `code`. Fields may be ' +
        'added to answers, and members to their enumerations: a client has to bear them.',
    )
    .setVersion(version)
    .addBearerAuth({ type: 'http', scheme: 'bearer', description: 'An API token, drvs_…' }, 'token')
    .addCookieAuth('drvs_session', { type: 'apiKey', in: 'cookie', name: 'drvs_session' }, 'session')
    .build();
  const gathered = SwaggerModule.createDocument(app, description, {
    operationIdFactory: (controller, method) =>
      `${controller.replace(/Controller$/, '').replace(/^./, (first) => first.toLowerCase())}.${method}`,
  });
  const document = wholeDocument(gathered, namedSchemas());
  document.components.schemas.Problem ??= tidy(openApiSchema(ProblemAnswer, 'output'), 'output');
  document.paths[OPENAPI_PATH] = {
    get: {
      operationId: 'openapi.show',
      summary: 'This description',
      tags: ['description'],
      responses: {
        200: {
          description: 'Success',
          content: { 'application/json': { schema: { type: 'object' }, example: {} } },
        },
      },
      'x-problem-codes': [],
    },
  };
  return document;
}

/** Serves the description. */
export function serveOpenApi(app: NestFastifyApplication, version: string): void {
  const document = JSON.stringify(apiDocument(app, version));
  const fastify = app.getHttpAdapter().getInstance() as unknown as FastifyInstance;
  fastify.get(OPENAPI_PATH, (_request, reply) =>
    reply.type('application/json; charset=utf-8').send(document),
  );
}
