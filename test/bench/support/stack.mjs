// The whole of DRVS as `./drvs up` starts it, on a port and in a data folder of its own.
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { freePort } from './ports.mjs';

const run = promisify(execFile);
const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');

export async function startStack(nodes) {
  const folder = await mkdtemp(join(tmpdir(), 'drvs-bench-'));
  const data = join(folder, 'data');
  const env = { ...process.env, HOME: folder, XDG_CONFIG_HOME: join(folder, 'config') };
  for (const name of ['DRVS_CONFIG', 'DRVS_URL', 'DRVS_TOKEN', 'DATABASE_URL', 'REDIS_URL']) delete env[name];
  const drvs = async (...words) =>
    (await run(join(root, 'drvs'), words, { cwd: folder, env, maxBuffer: 1 << 26 })).stdout;
  const stop = async () => {
    await drvs('down', '--purge', '--yes', '--data', data).catch((error) => console.error(error.stderr));
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await drvs(
      ...[
        'up',
        '--detach',
        '--no-demo',
        '--nodes',
        String(nodes),
        '--port',
        String(await freePort()),
        '--data',
        data,
      ],
    );
  } catch (error) {
    await stop();
    throw error;
  }
  const { url, token } = JSON.parse(await readFile(join(folder, '.config/drvs/config.json'), 'utf8'));
  const rest = async (method, path, body) => {
    const response = await fetch(`${url}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body ? { 'content-type': 'application/json' } : {}) },
      body: body && JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === '' ? null : JSON.parse(text);
  };
  return {
    url,
    token,
    folder,
    drvs,
    rest,
    json: async (...words) => JSON.parse(await drvs(...words, '--json')),
    stop,
  };
}

/** Milliseconds until `look` gives something, looking every 50. */
export async function timeUntil(what, withinMs, look) {
  const begun = performance.now();
  for (;;) {
    const seen = await look();
    const ms = performance.now() - begun;
    if (seen) return ms;
    if (ms > withinMs) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
