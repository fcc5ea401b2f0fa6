import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { DrvsError } from '@drvs/contracts';
import { z } from 'zod';

const port = z.coerce.number().int().min(0).max(65_535);
const address = z.url({ protocol: /^https?$/ });

/** The environment of the API process; parsed once, at start. An empty variable is one that is not set. */
const Environment = z.object({
  /** PostgreSQL from 15 on. */
  DATABASE_URL: z.url({ protocol: /^postgres(ql)?$/ }),
  /** With it, jobs go over Redis; without it, over the same PostgreSQL. */
  REDIS_URL: z.url({ protocol: /^rediss?$/ }).optional(),
  PORT: port.default(3000),
  HOST: z.string().default('127.0.0.1'),
  /** Where the portal's server listens; what is not the API's is handed on to it. */
  PORTAL_URL: address.optional(),
  /** The data folder; the default is for a start by hand. */
  DRVS_DATA: z.string().default(join(homedir(), '.local/share/drvs/api')),
  /** 32 bytes that seal the keys kept in the database; made at the first start. */
  DRVS_SECRET_FILE: z.string().optional(),
  /** Written at the first start: the first administrator, a token, enrolment tokens. */
  DRVS_BOOTSTRAP_FILE: z.string().optional(),
  DRVS_BOOTSTRAP_NODES: z.coerce.number().int().min(0).max(1000).default(0),
  /** Connections to the database at most. */
  DRVS_DATABASE_POOL: z.coerce.number().int().min(2).max(500).default(20),
  /** `true` behind a reverse proxy that sets X-Forwarded-For and X-Forwarded-Proto. */
  DRVS_TRUST_PROXY: z.enum(['true', 'false']).default('false'),
  /** Where the supervisor of a stack on this machine takes orders to stop and start its agents. */
  DRVS_LOCAL_POWER: z.string().max(107).optional(),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
});

export interface Config {
  databaseUrl: string;
  redisUrl: string | null;
  port: number;
  host: string;
  portalUrl: string | null;
  dataFolder: string;
  secretFile: string;
  bootstrapFile: string | null;
  bootstrapNodes: number;
  databasePool: number;
  trustProxy: boolean;
  localPowerSocket: string | null;
  logLevel: string;
  version: string;
}

export const CONFIG = Symbol('Config');

const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

/** @throws DrvsError InvalidInput naming each variable that is missing or malformed. */
export function readConfig(environment: Record<string, string | undefined>): Config {
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const parsed = Environment.safeParse(given);
  if (!parsed.success) {
    const faults = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
    throw new DrvsError('InvalidInput', `the environment is not usable: ${faults.join('; ')}`, {
      hint: 'Correct these variables and start again.',
      details: { faults },
    });
  }
  const env = parsed.data;
  return {
    databaseUrl: env.DATABASE_URL,
    redisUrl: env.REDIS_URL ?? null,
    port: env.PORT,
    host: env.HOST,
    portalUrl: env.PORTAL_URL ?? null,
    dataFolder: env.DRVS_DATA,
    secretFile: env.DRVS_SECRET_FILE ?? join(env.DRVS_DATA, 'secret'),
    bootstrapFile: env.DRVS_BOOTSTRAP_FILE ?? null,
    bootstrapNodes: env.DRVS_BOOTSTRAP_NODES,
    databasePool: env.DRVS_DATABASE_POOL,
    trustProxy: env.DRVS_TRUST_PROXY === 'true',
    localPowerSocket: env.DRVS_LOCAL_POWER ?? null,
    logLevel: env.LOG_LEVEL,
    version: manifest.version,
  };
}
