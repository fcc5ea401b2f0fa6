import 'reflect-metadata';
import cookie from '@fastify/cookie';
import helmet from '@fastify/helmet';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import { AppModule } from './app.module.js';
import type { Config } from './config/config.js';
import { SecretBox } from './config/secret-box.js';
import { migrate } from './database/migrator.js';
import { PinoLogger } from './http/log.js';
import { proxyPortal } from './http/portal-proxy.js';
import { ProblemFilter } from './http/problem.filter.js';
import { SECURITY_HEADERS } from './http/security-headers.js';
import { MetricsService } from './metrics/metrics.service.js';
import { serveOpenApi } from './openapi/document.js';

/** JSON bodies; files have a limit and a parser of their own. */
const MAX_JSON_BODY_BYTES = 1024 * 1024;

/** The whole API process, ready to listen. The database is at its newest migration when it returns. */
export async function createApp(config: Config): Promise<NestFastifyApplication> {
  const logger = new PinoLogger(config.logLevel);
  const migrations = await migrate(config.databaseUrl);
  if (migrations.length > 0) logger.log(`migrations applied: ${migrations.join(', ')}`, 'Migrator');
  const secretBox = await SecretBox.fromFile(config.secretFile);
  const adapter = new FastifyAdapter({
    bodyLimit: MAX_JSON_BODY_BYTES,
    trustProxy: config.trustProxy,
    routerOptions: { maxParamLength: 512 },
  });
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.with(config, secretBox), adapter, {
    logger,
    abortOnError: false,
  });
  const fastify = adapter.getInstance() as unknown as FastifyInstance;
  await fastify.register(helmet, SECURITY_HEADERS);
  await fastify.register(cookie);
  app.get(MetricsService).observe(fastify);
  app.useGlobalFilters(new ProblemFilter());
  serveOpenApi(app, config.version);
  if (config.portalUrl !== null) await proxyPortal(app, config.portalUrl);
  return app;
}
