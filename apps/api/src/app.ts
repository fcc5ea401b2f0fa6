import 'reflect-metadata';
import cookie from '@fastify/cookie';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import { AppModule } from './app.module.js';
import { AuthService } from './auth/auth.service.js';
import type { Config } from './config/config.js';
import { SecretBox } from './config/secret-box.js';
import { migrate } from './database/migrator.js';
import { logAccess, newRequestId } from './http/access-log.js';
import { closeIdleConnections } from './http/close-idle.js';
import { sendETags } from './http/etag.js';
import { repeatLedgerAnswers } from './http/ledger-answers.js';
import { PinoLogger } from './http/log.js';
import { proxyPortal } from './http/portal-proxy.js';
import { ProblemFilter, sendProblem } from './http/problem.filter.js';
import { sendSecurityHeaders } from './http/security-headers.js';
import { MetricsService } from './metrics/metrics.service.js';
import { serveOpenApi } from './openapi/document.js';
import { acceptDeadlines } from './operations/deadline.js';
import { RateLimits } from './rate-limits/rate-limits.js';

/** JSON bodies; files have a limit and a parser of their own. */
const MAX_JSON_BODY_BYTES = 1024 * 1024;

/**
 * Nest sets its handler of errors only after modules have loaded their plugins, when routes have already taken the one
 * they found. So the handler for what fails outside its filters (bodies that do not parse) is set before, and stays.
 */
class ApiAdapter extends FastifyAdapter {
  override setErrorHandler(): ReturnType<FastifyAdapter['setErrorHandler']> {
    return this.getInstance() as unknown as ReturnType<FastifyAdapter['setErrorHandler']>;
  }
}

/** The whole API process, ready to listen. The database is at its newest migration when it returns. */
export async function createApp(config: Config): Promise<NestFastifyApplication> {
  const logger = new PinoLogger(config.logLevel);
  const migrations = await migrate(config.databaseUrl);
  if (migrations.length > 0) logger.log(`migrations applied: ${migrations.join(', ')}`, 'Migrator');
  const secretBox = await SecretBox.fromFile(config.secretFile);
  const adapter = new ApiAdapter({
    bodyLimit: MAX_JSON_BODY_BYTES,
    genReqId: newRequestId,
    trustProxy: config.trustProxy,
    routerOptions: { maxParamLength: 512 },
  });
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.with(config, secretBox), adapter, {
    logger,
    abortOnError: false,
  });
  const fastify = adapter.getInstance() as unknown as FastifyInstance;
  closeIdleConnections(fastify);
  acceptDeadlines(fastify);
  sendSecurityHeaders(fastify);
  sendETags(fastify);
  await fastify.register(cookie);
  fastify.setErrorHandler((error, _request, reply) => {
    sendProblem(reply, error, (message, cause) => logger.error(message, cause, 'Problem'));
  });
  logAccess(fastify, logger.pino);
  app.get(MetricsService).observe(fastify);
  repeatLedgerAnswers(fastify, { auth: app.get(AuthService), limits: app.get(RateLimits) });
  app.useGlobalFilters(new ProblemFilter());
  serveOpenApi(app, config.version);
  if (config.portalUrl !== null) await proxyPortal(app, config.portalUrl);
  return app;
}
