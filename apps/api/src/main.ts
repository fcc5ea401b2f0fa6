import { DrvsError } from '@drvs/contracts';
import { createApp } from './app.js';
import { readConfig } from './config/config.js';
import { PinoLogger } from './http/log.js';

/** After this long a graceful stop is given up. */
const STOP_WITHIN_MS = 15_000;

async function main(): Promise<void> {
  const config = readConfig(process.env);
  const app = await createApp(config);
  const stop = (signal: string) => {
    setTimeout(() => process.exit(1), STOP_WITHIN_MS).unref();
    app.close().then(
      () => process.exit(0),
      () => process.exit(1),
    );
    console.error(`${signal}: stopping`);
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  await app.listen(config.port, config.host);
  new PinoLogger(config.logLevel).log(`listening on ${await app.getUrl()}`, 'Main');
}

main().catch((thrown: unknown) => {
  const error = DrvsError.from(thrown);
  console.error(JSON.stringify({ level: 60, part: 'api', ...error.toBody() }));
  if (error.cause instanceof Error) console.error(error.cause.stack);
  process.exit(1);
});
