// The API as users run it: its built files in a process of its own, on a database of the benchmark's.
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from './ports.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');
const START_WITHIN_MS = 60_000;

/**
 * Starts a server's process and waits until it answers `path` with a status below 500.
 * @returns {Promise<{ url: string, pid: number, stop(): Promise<void> }>}
 */
export async function startServer(script, env = {}, path = '/', args = []) {
  const port = await freePort();
  const child = spawn(process.execPath, [...args, script], {
    env: { ...process.env, NODE_ENV: 'production', ...env, PORT: String(port) },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const gone = new Promise((resolve) => child.once('exit', resolve));
  process.once('exit', () => child.kill('SIGKILL'));
  const stop = async () => {
    child.kill('SIGTERM');
    await gone;
  };
  const url = `http://127.0.0.1:${port}`;
  for (const until = Date.now() + START_WITHIN_MS; ; ) {
    if (child.exitCode !== null) throw new Error(`${script} ended with ${child.exitCode}`);
    const status = await fetch(`${url}${path}`).then(
      (response) => response.status,
      () => 599,
    );
    if (status < 500) return { url, pid: child.pid, stop };
    if (Date.now() > until) {
      await stop();
      throw new Error(`${script} does not answer`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** @returns the server, the first administrator's token, and enrolment tokens */
export async function startApi(databaseUrl, { nodes = 0, env = {}, args = [] } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'drvs-bench-api-'));
  const bootstrapFile = join(folder, 'bootstrap.json');
  const server = await startServer(
    join(root, 'apps/api/dist/main.js'),
    {
      DATABASE_URL: databaseUrl,
      DRVS_DATA: folder,
      DRVS_BOOTSTRAP_FILE: bootstrapFile,
      DRVS_BOOTSTRAP_NODES: String(nodes),
      LOG_LEVEL: 'warn',
      ...env,
    },
    '/healthz',
    args,
  );
  const { token, enrolTokens } = JSON.parse(await readFile(bootstrapFile, 'utf8'));
  const rest = async (method, path, body) => {
    const response = await fetch(`${server.url}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body ? { 'content-type': 'application/json' } : {}) },
      body: body && JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === '' ? null : JSON.parse(text);
  };
  return {
    ...server,
    token,
    enrolTokens,
    rest,
    async stop() {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
