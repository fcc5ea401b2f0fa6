import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Bootstrap } from './api.js';
import { until } from './cluster.js';
import { freePort } from './ports.js';

const ROOT = join(import.meta.dirname, '../..');
/** A busy machine takes its time to start a process. */
const READY_WITHIN_MS = 120_000;

/** What the processes under test run: built from the sources as they are now. */
export async function buildAll(): Promise<void> {
  await promisify(execFile)(process.execPath, [join(ROOT, 'scripts/build.mjs')]);
}

/** The API as a process of its own, which a test kills and starts again at the same port on the same data. */
export class ApiProcess {
  #child: ChildProcess | null = null;

  private constructor(
    readonly url: string,
    private readonly folder: string,
    private readonly environment: NodeJS.ProcessEnv,
  ) {}

  /** @param folder what it keeps on disk */
  static async on(
    databaseUrl: string,
    folder: string,
    more: Record<string, string> = {},
  ): Promise<ApiProcess> {
    const port = await freePort();
    return new ApiProcess(`http://127.0.0.1:${port}`, folder, {
      PATH: process.env.PATH ?? '',
      DATABASE_URL: databaseUrl,
      PORT: String(port),
      DRVS_DATA: folder,
      DRVS_BOOTSTRAP_FILE: join(folder, 'bootstrap.json'),
      LOG_LEVEL: process.env.TEST_LOG_LEVEL ?? 'fatal',
      ...more,
    });
  }

  /** Resolves when it is ready. */
  async start(): Promise<void> {
    this.#child = spawn(process.execPath, [join(ROOT, 'apps/api/dist/main.js')], {
      env: this.environment,
      stdio: ['ignore', process.env.TEST_LOG_LEVEL ? 'inherit' : 'ignore', 'inherit'],
    });
    const isReady = () =>
      fetch(`${this.url}/readyz`).then(
        ({ ok }) => ok,
        () => false,
      );
    await until('the API is ready', isReady, READY_WITHIN_MS);
  }

  /** As `kill -9` does; nothing where it does not run. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  async bootstrap(): Promise<Bootstrap> {
    return JSON.parse(await readFile(join(this.folder, 'bootstrap.json'), 'utf8')) as Bootstrap;
  }
}
