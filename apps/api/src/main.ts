import type { Server } from 'node:http';
import { DrvsError } from '@drvs/contracts';
import { createApp } from './app.js';
import { type Config, readConfig } from './config/config.js';
import { PinoLogger } from './http/log.js';

/** Requests under way get this long to end; then their connections are cut. */
const DRAIN_MS = 2_000;
/** After this long a graceful stop is given up. */
const STOP_WITHIN_MS = 12_000;

async function main(): Promise<void> {
  const config = readConfig(process.env);
  const { pino: log } = new PinoLogger(config.logLevel);
  const app = await createApp(config);
  let isStopping = false;
  const stop = (signal: string) => {
    if (isStopping) return;
    isStopping = true;
    log.info(`${signal}: stopping`);
    setTimeout(() => (app.getHttpServer() as Server).closeAllConnections(), DRAIN_MS).unref();
    setTimeout(() => {
      log.error(`not stopped within ${STOP_WITHIN_MS} ms: giving up`);
      process.exit(1);
    }, STOP_WITHIN_MS).unref();
    app.close().then(
      () => process.exit(0),
      (error: unknown) => {
        log.error({ err: error }, 'the stop failed');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  await app.listen(config.port, config.host).catch((cause: unknown) => {
    throw busyPort(config, cause);
  });
  log.info(`listening on ${await app.getUrl()}`);
}

function busyPort({ host, port }: Config, cause: unknown): unknown {
  if ((cause as NodeJS.ErrnoException).code !== 'EADDRINUSE') return cause;
  return new DrvsError('StateConflict', `the port ${port} of ${host} is in use by another program`, {
    hint: 'Stop that program, or choose another port with PORT.',
    cause,
  });
}

main().catch((thrown: unknown) => {
  const error = DrvsError.from(thrown);
  console.error(JSON.stringify({ level: 60, part: 'api', ...error.toBody() }));
  if (error.code === 'Internal' && error.cause instanceof Error) console.error(error.cause.stack);
  process.exit(1);
});
