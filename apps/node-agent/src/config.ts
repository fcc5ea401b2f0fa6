import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import { DrvsError, GivenDevice } from '@drvs/contracts';
import { z } from 'zod';
import type { DeclaredDevice } from './inventory/devices.js';
import type { PortRange } from './supervisor/ports.js';

/**
 * The agent's settings: environment variables, or flags of the same meaning (`--offer-cpu 2` is DRVS_OFFER_CPU=2;
 * flags win). Parsed once.
 */
const Words = z
  .string()
  .min(1)
  .max(4_096)
  .transform((text) => text.trim().split(/\s+/));

/** By the name that programs will see. */
const Declared = GivenDevice.pick({ name: true, path: true });

const Settings = z.object({
  DRVS_API_URL: z.url({ protocol: /^https?$/ }).transform((url) => url.replace(/\/+$/, '')),
  DRVS_NODE_NAME: z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/),
  DRVS_DATA: z.string().min(1),
  DRVS_ENROL_TOKEN: z.string().min(1).optional(),
  DRVS_OFFER_CPU: z.coerce.number().min(0.05).max(10_000).optional(),
  DRVS_OFFER_MEMORY_MIB: z.coerce.number().int().min(192).optional(),
  DRVS_OFFER_DISK_GIB: z.coerce.number().int().min(0).optional(),
  DRVS_OFFER_NETWORK_MBPS: z.coerce.number().int().min(0).optional(),
  DRVS_HOST: z.string().min(1).default('127.0.0.1'),
  DRVS_PORTS: z
    .string()
    .regex(/^\d+-\d+$/, 'must be FIRST-LAST, for instance 20000-29999')
    .default('20000-29999')
    .transform((text): PortRange => {
      const [first, last] = text.split('-').map(Number) as [number, number];
      return { first, last };
    })
    .refine(
      ({ first, last }) => first >= 1024 && last <= 65_535 && first <= last,
      'is not a range within 1024-65535',
    ),
  /** Words of the command that switches this host off; without it the agent refuses to. */
  DRVS_SHUTDOWN: Words.optional(),
  /** Words of a command that prints the watts drawn now. */
  DRVS_WATTS: Words.optional(),
  /** Where the kernel tells of the processor's energy. */
  DRVS_POWERCAP: z.string().min(1).default('/sys/class/powercap'),
  /** Character devices and FIFOs that are offered besides those found: NAME=PATH, with spaces between. */
  DRVS_DEVICES: Words.transform((words, context): DeclaredDevice[] =>
    words.map((word) => {
      const [, name, path] = /^([^=]*)=(\/.+)$/.exec(word) ?? [];
      const device = Declared.safeParse({ name, path });
      if (device.success) return device.data;
      context.addIssue({ code: 'custom', message: `${word} is not NAME=/PATH` });
      return z.NEVER;
    }),
  ).optional(),
  DRVS_LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error']).default('info'),
});

export interface AgentConfig {
  apiUrl: string;
  nodeName: string;
  data: string;
  enrolToken: string | undefined;
  /** Undefined: all of the host less a reserve. */
  offer: {
    cpu: number | undefined;
    memoryMiB: number | undefined;
    diskGiB: number | undefined;
    networkMbps: number | undefined;
  };
  host: string;
  ports: PortRange;
  shutdown: readonly string[] | undefined;
  watts: readonly string[] | undefined;
  powercap: string;
  devices: readonly DeclaredDevice[];
  logLevel: string;
  command: 'run' | 'stop-containers';
}

const NAMES = Object.keys(Settings.shape) as (keyof typeof Settings.shape)[];
const flagOf = (name: string): string =>
  name
    .replace(/^DRVS_/, '')
    .toLowerCase()
    .replaceAll('_', '-');

const USAGE = `drvs agent [run | stop-containers] [--FLAG VALUE …]

  run               look after this node (the default)
  stop-containers   stop the containers that an agent left running; the next agent starts them again

${NAMES.map((name) => `  --${flagOf(name).padEnd(20)} ${name}`).join('\n')}
`;

/** @throws DrvsError InvalidInput that names the setting. */
export function parseConfig(args: readonly string[], environment: NodeJS.ProcessEnv): AgentConfig {
  let flags: Record<string, string | undefined>;
  let commands: string[];
  try {
    const parsed = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: Object.fromEntries(NAMES.map((name) => [flagOf(name), { type: 'string' as const }])),
    });
    flags = parsed.values as Record<string, string | undefined>;
    commands = parsed.positionals;
  } catch (error) {
    throw new DrvsError('InvalidInput', (error as Error).message, { hint: USAGE });
  }
  const [command = 'run'] = commands;
  if (commands.length > 1 || (command !== 'run' && command !== 'stop-containers')) {
    throw new DrvsError('InvalidInput', `there is no command ${commands.join(' ')}`, { hint: USAGE });
  }
  const given = Object.fromEntries(
    NAMES.map((name) => [name, flags[flagOf(name)] ?? (environment[name] || undefined)]),
  );
  given.DRVS_NODE_NAME ??= hostname().split('.')[0]?.toLowerCase();
  const result = Settings.safeParse(given);
  if (!result.success) {
    const issue = result.error.issues[0];
    const name = String(issue?.path[0]);
    throw new DrvsError('InvalidInput', `${name} (--${flagOf(name)}) is not usable: ${issue?.message}`, {
      field: name,
      hint: USAGE,
    });
  }
  const settings = result.data;
  return {
    apiUrl: settings.DRVS_API_URL,
    nodeName: settings.DRVS_NODE_NAME,
    data: settings.DRVS_DATA,
    enrolToken: settings.DRVS_ENROL_TOKEN,
    offer: {
      cpu: settings.DRVS_OFFER_CPU,
      memoryMiB: settings.DRVS_OFFER_MEMORY_MIB,
      diskGiB: settings.DRVS_OFFER_DISK_GIB,
      networkMbps: settings.DRVS_OFFER_NETWORK_MBPS,
    },
    host: settings.DRVS_HOST,
    ports: settings.DRVS_PORTS,
    shutdown: settings.DRVS_SHUTDOWN,
    watts: settings.DRVS_WATTS,
    powercap: settings.DRVS_POWERCAP,
    devices: settings.DRVS_DEVICES ?? [],
    logLevel: settings.DRVS_LOG_LEVEL,
    command,
  };
}
