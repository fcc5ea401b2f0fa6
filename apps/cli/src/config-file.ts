/**
 * Where the API is and who we are to it: `~/.config/drvs/config.json` (mode 0600, it holds a secret), written by
 * `drvs up` and `drvs login`. `DRVS_URL` and `DRVS_TOKEN` win; `DRVS_CONFIG` names another file.
 */
import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { Failure } from './failure.js';

const ConfigFile = z.object({
  url: z.url(),
  token: z.string().optional(),
  /** From `drvs login`: a session, for those who may not make tokens. */
  session: z.object({ cookie: z.string(), csrfToken: z.string() }).optional(),
});
export type ConfigFile = z.infer<typeof ConfigFile>;

export interface Credentials {
  url: string;
  token: string | null;
  session: { cookie: string; csrfToken: string } | null;
}

type Environment = Readonly<Record<string, string | undefined>>;

export const configPath = (env: Environment): string =>
  env.DRVS_CONFIG || join(env.HOME || homedir(), '.config', 'drvs', 'config.json');

export async function readConfig(env: Environment): Promise<ConfigFile | null> {
  const path = configPath(env);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new Failure('ConfigUnreadable', `${path} cannot be read: ${(error as Error).message}`);
  }
  try {
    return ConfigFile.parse(JSON.parse(text));
  } catch (error) {
    throw new Failure('ConfigDamaged', `${path} is not a configuration of drvs`, {
      hint: 'Remove it, then run `drvs login URL` (or `./drvs up` for a stack on this machine).',
      cause: error,
    });
  }
}

export async function writeConfig(env: Environment, config: ConfigFile): Promise<string> {
  const path = configPath(env);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const part = `${path}.${process.pid}.part`;
  await writeFile(part, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 });
  await chmod(part, 0o600);
  await rename(part, path);
  return path;
}

export const removeConfig = (env: Environment): Promise<void> => rm(configPath(env), { force: true });

/** @throws Failure NotSignedIn when nothing says where the API is. */
export async function credentials(env: Environment): Promise<Credentials> {
  const fromEnv = { url: env.DRVS_URL || null, token: env.DRVS_TOKEN || null };
  if (fromEnv.url && !URL.canParse(fromEnv.url)) {
    throw new Failure('WrongUsage', `DRVS_URL is not an address: ${fromEnv.url}`, {
      hint: 'It looks like http://127.0.0.1:3000.',
      exitCode: 2,
    });
  }
  const config = fromEnv.url && fromEnv.token ? null : await readConfig(env);
  const url = fromEnv.url ?? config?.url;
  if (!url) {
    throw new Failure('NotSignedIn', 'no DRVS is known here', {
      hint: 'Start one with `./drvs up`, or sign in with `drvs login URL`, or set DRVS_URL and DRVS_TOKEN.',
    });
  }
  // A secret is for the address that it was made for, never for another that DRVS_URL names.
  const isSame = config !== null && sameOrigin(config.url, url);
  return {
    url: url.replace(/\/+$/, ''),
    token: fromEnv.token ?? (isSame ? (config.token ?? null) : null),
    session: fromEnv.token || !isSame || config.token ? null : (config.session ?? null),
  };
}

const sameOrigin = (a: string, b: string): boolean => new URL(a).origin === new URL(b).origin;
