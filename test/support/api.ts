import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { createApp } from '../../apps/api/src/app.js';
import { type Config, readConfig } from '../../apps/api/src/config/config.js';

/** The real API process's application, listening on a port of its own. */
export interface TestApi {
  app: NestFastifyApplication;
  /** `http://127.0.0.1:<port>` */
  url: string;
  stop(): Promise<void>;
}

export async function startApi(databaseUrl: string, overrides: Partial<Config> = {}): Promise<TestApi> {
  const folder = await mkdtemp(join(tmpdir(), 'drvs-api-'));
  const config = readConfig({
    DATABASE_URL: databaseUrl,
    DRVS_DATA: folder,
    PORT: '0',
    LOG_LEVEL: process.env.TEST_LOG_LEVEL ?? 'fatal',
  });
  const app = await createApp({ ...config, ...overrides });
  await app.listen(0, '127.0.0.1');
  return {
    app,
    url: (await app.getUrl()).replace('[::1]', '127.0.0.1'),
    async stop() {
      await app.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
