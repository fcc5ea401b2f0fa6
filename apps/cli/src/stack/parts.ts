/** The parts of a stack on one machine: how each is started, asked for its health, and ended. */
import { existsSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { NodeView } from '@drvs/contracts';
import { type DataFolder, type StackFile, writeDurably } from './data-folder.js';
import { localPowerSocket } from './local-power.js';
import {
  databaseUrl,
  findPostmaster,
  type PostgresProgram,
  postgresEnvironment,
  serverArguments,
} from './postgres.js';
import type { ProcessIdentity } from './process-identity.js';
import { programs } from './repository.js';

interface Launch {
  command: string;
  args: string[];
  env: NodeJS.ProcessEnv;
  uid?: number;
  gid?: number;
}

interface Health {
  isHealthy: boolean;
  detail: string;
}

export interface Part {
  name: string;
  /** Parts that must be healthy before this one is started. */
  after: readonly string[];
  stopSignal: NodeJS.Signals;
  stopGraceMs: number;
  launch(): Promise<Launch>;
  health(): Promise<Health>;
  /** One that runs already although nobody recorded it. */
  find?(): ProcessIdentity | null;
  /** What is to be done after its process is gone, when that left something running. */
  afterStop?(): Launch | null;
}

/** Containers get this long to end their guests and to flush their files. */
const STOP_CONTAINERS_GRACE_MS = 30_000;
export const AFTER_STOP_MS = STOP_CONTAINERS_GRACE_MS + 10_000;
const PROBE_MS = 3_000;
/** Each node's containers get ports of their own from here on. */
const CONTAINER_PORTS_FROM = 20_000;
const CONTAINER_PORTS_TO = 29_999;

/** Marks every process of a stack, so that `down` finds those that nobody recorded. */
export const STACK_MARK = 'DRVS_STACK';

export interface StackSettings {
  root: string;
  folder: DataFolder;
  stack: StackFile;
  postgres: PostgresProgram | null;
  hasPortal: boolean;
  /** DATABASE_URL, REDIS_URL, LOG_LEVEL of who ran `up`. */
  env: Readonly<Record<string, string | undefined>>;
}

export const urlOf = (port: number): string => `http://127.0.0.1:${port}`;

export function partsOf(settings: StackSettings): Part[] {
  const { stack } = settings;
  const parts: Part[] = [];
  if (stack.database.kind === 'embedded') parts.push(postgresPart(settings, stack.database));
  parts.push(apiPart(settings));
  if (settings.hasPortal && stack.portalPort !== null) parts.push(portalPart(settings, stack.portalPort));
  const nodes = new NodeStates(settings);
  stack.nodes.forEach((node, index) => {
    parts.push(agentPart(settings, node, index, nodes));
  });
  return parts;
}

/** Node programs get no variables of ours but those that are meant for them. */
function environment(settings: StackSettings, more: Record<string, string | undefined>): NodeJS.ProcessEnv {
  const kept = ['PATH', 'HOME', 'LANG', 'TZ', 'TMPDIR', 'NODE_EXTRA_CA_CERTS', 'LOG_LEVEL'];
  const all: Record<string, string | undefined> = {
    ...Object.fromEntries(kept.map((name) => [name, settings.env[name]])),
    NODE_ENV: 'production',
    [STACK_MARK]: settings.folder.root,
    ...more,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

function postgresPart(settings: StackSettings, database: { folder: string; port: number }): Part {
  const { postgres, folder } = settings;
  return {
    name: 'postgres',
    after: [],
    // Fast shutdown: open sessions are rolled back, the log is flushed (postgres(1)).
    stopSignal: 'SIGINT',
    stopGraceMs: 60_000,
    async launch() {
      if (!postgres) throw new Error('the programs of PostgreSQL are not prepared');
      return {
        command: join(postgres.bin, 'postgres'),
        args: serverArguments(database.folder, database.port),
        env: { ...postgresEnvironment(), LC_ALL: 'C', TZ: 'UTC', [STACK_MARK]: folder.root },
        ...(postgres.user ? { uid: postgres.user.uid, gid: postgres.user.gid } : {}),
      };
    },
    async health() {
      const server = findPostmaster(database.folder);
      if (server === null) return { isHealthy: false, detail: 'it does not run' };
      return server.isReady
        ? {
            isHealthy: true,
            detail: `PostgreSQL ${postgres?.version.split('-')[0] ?? ''} on 127.0.0.1:${server.port}`,
          }
        : { isHealthy: false, detail: 'it is starting or recovering' };
    },
    find: () => findPostmaster(database.folder)?.process ?? null,
  };
}

function apiPart(settings: StackSettings): Part {
  const { stack, folder, root } = settings;
  return {
    name: 'api',
    after: stack.database.kind === 'embedded' ? ['postgres'] : [],
    stopSignal: 'SIGTERM',
    stopGraceMs: 15_000,
    async launch() {
      const url =
        stack.database.kind === 'embedded'
          ? await databaseUrl(folder.databasePasswordFile, stack.database.port)
          : settings.env.DATABASE_URL;
      return {
        command: process.execPath,
        args: ['--enable-source-maps', programs(root).api],
        env: environment(settings, {
          DATABASE_URL: url,
          REDIS_URL: settings.env.REDIS_URL || undefined,
          PORT: String(stack.port),
          HOST: settings.env.DRVS_LISTEN || '127.0.0.1',
          PORTAL_URL: settings.hasPortal && stack.portalPort !== null ? urlOf(stack.portalPort) : undefined,
          DRVS_DATA: folder.api,
          DRVS_SECRET_FILE: folder.apiSecretFile,
          DRVS_BOOTSTRAP_FILE: folder.bootstrapFile,
          DRVS_LOCAL_POWER: localPowerSocket(folder),
        }),
      };
    },
    async health() {
      const ready = await probe(`${urlOf(stack.port)}/readyz`);
      if (ready.status === 200) return { isHealthy: true, detail: urlOf(stack.port) };
      return {
        isHealthy: false,
        detail: ready.status === null ? ready.text : `not ready: ${ready.text.slice(0, 300)}`,
      };
    },
  };
}

function portalPart(settings: StackSettings, port: number): Part {
  return {
    name: 'portal',
    after: [],
    stopSignal: 'SIGTERM',
    stopGraceMs: 5_000,
    async launch() {
      return {
        command: process.execPath,
        args: [programs(settings.root).portal],
        env: environment(settings, {
          PORT: String(port),
          HOSTNAME: '127.0.0.1',
          NEXT_TELEMETRY_DISABLED: '1',
          KEEP_ALIVE_TIMEOUT: '65000',
        }),
      };
    },
    async health() {
      const { status, text } = await probe(`${urlOf(port)}/`);
      if (status !== null && status < 500)
        return { isHealthy: true, detail: `behind the API, on 127.0.0.1:${port}` };
      return { isHealthy: false, detail: status === null ? text : `it answers with status ${status}` };
    },
  };
}

function agentPart(
  settings: StackSettings,
  node: StackFile['nodes'][number],
  index: number,
  nodes: NodeStates,
): Part {
  const { folder, root, stack } = settings;
  const data = folder.node(node.name);
  const width = Math.floor((CONTAINER_PORTS_TO - CONTAINER_PORTS_FROM + 1) / stack.nodes.length);
  const from = CONTAINER_PORTS_FROM + index * width;
  const env = (token?: string): NodeJS.ProcessEnv =>
    environment(settings, {
      DRVS_API_URL: urlOf(stack.port),
      DRVS_NODE_NAME: node.name,
      DRVS_DATA: data,
      DRVS_ENROL_TOKEN: token,
      DRVS_OFFER_CPU: String(node.cpuMilli / 1000),
      DRVS_OFFER_MEMORY_MIB: String(node.memoryMiB),
      DRVS_OFFER_DISK_GIB: String(node.diskGiB),
      DRVS_HOST: '127.0.0.1',
      DRVS_PORTS: `${from}-${from + width - 1}`,
      DRVS_LOG_LEVEL: settings.env.LOG_LEVEL,
    });
  return {
    name: node.name,
    after: ['api'],
    // Ends its containers first; SIGTERM would leave them to the next agent.
    stopSignal: 'SIGUSR2',
    stopGraceMs: STOP_CONTAINERS_GRACE_MS,
    async launch() {
      const isEnrolled = existsSync(join(data, 'credential.json'));
      return {
        command: process.execPath,
        args: ['--enable-source-maps', programs(root).agent, 'run'],
        env: env(isEnrolled ? undefined : await enrolmentToken(settings)),
      };
    },
    async health() {
      return nodes.of(node.name);
    },
    // An agent that was killed, or asked to end before it listened, leaves its containers running.
    afterStop: () =>
      leftContainers(data)
        ? { command: process.execPath, args: [programs(root).agent, 'stop-containers'], env: env() }
        : null,
  };
}

/** A container that runs, or died unseen, has a runtime.json; stopping removes it. */
function leftContainers(agentData: string): boolean {
  const drvms = join(agentData, 'drvms');
  return (
    existsSync(drvms) && readdirSync(drvms).some((drvm) => existsSync(join(drvms, drvm, 'runtime.json')))
  );
}

/** What the API says of the nodes, asked once for all agents. */
class NodeStates {
  #askedAt = Number.NEGATIVE_INFINITY;
  #answer: Promise<Map<string, NodeView> | string> = Promise.resolve('not asked yet');

  constructor(readonly settings: StackSettings) {}

  async of(name: string): Promise<Health> {
    // Half a second old is new enough, and keeps many agents from asking one after another.
    if (performance.now() - this.#askedAt > 500) {
      this.#askedAt = performance.now();
      this.#answer = this.#ask();
    }
    const states = await this.#answer;
    if (typeof states === 'string') return { isHealthy: false, detail: states };
    const node = states.get(name);
    if (node === undefined) return { isHealthy: false, detail: 'it has not joined yet' };
    const { state, probation } = node;
    if (state === 'up' && probation === 'pending')
      return { isHealthy: false, detail: 'its check is under way' };
    if (state === 'up' && probation === 'failed')
      return { isHealthy: true, detail: `up, but its check failed: see drvs node check ${name}` };
    return state === 'down' || state === 'off'
      ? {
          isHealthy: false,
          detail: state === 'down' ? 'the API does not hear of it' : 'it has not joined again yet',
        }
      : { isHealthy: true, detail: state === 'up' ? 'up' : `up (${state})` };
  }

  async #ask(): Promise<Map<string, NodeView> | string> {
    const token = await adminToken(this.settings.folder);
    if (token === null) return 'there is no administrator token yet';
    const { status, text } = await probe(`${urlOf(this.settings.stack.port)}/api/v1/nodes?limit=500`, token);
    if (status === 401)
      return 'its state cannot be asked: the token in secrets/admin-token is revoked or expired';
    if (status !== 200) return `its state cannot be asked: ${status ?? text}`;
    const page = JSON.parse(text) as { items: NodeView[] };
    return new Map(page.items.map((node) => [node.name, node]));
  }
}

export interface Bootstrap {
  user: string;
  /** Taken out once it was shown. */
  password?: string;
  token: string;
}

export async function readBootstrap(folder: DataFolder): Promise<Bootstrap | null> {
  const text = await readFile(folder.bootstrapFile, 'utf8').catch(() => null);
  return text === null ? null : (JSON.parse(text) as Bootstrap);
}

/** The token with which the stack itself asks the API; of the first start, or given by DRVS_TOKEN. */
export async function adminToken(folder: DataFolder): Promise<string | null> {
  const given = await readFile(folder.adminTokenFile, 'utf8').catch(() => null);
  return given?.trim() || ((await readBootstrap(folder))?.token ?? null);
}

export const setAdminToken = (folder: DataFolder, token: string): Promise<void> =>
  writeDurably(folder.adminTokenFile, token, 0o600);

async function enrolmentToken({ folder, stack }: StackSettings): Promise<string> {
  const token = await adminToken(folder);
  if (token === null) {
    throw new Error(
      'the database has users already, and no administrator is known here who lets it join; ' +
        'set DRVS_TOKEN to a token with the role supra-admin',
    );
  }
  const response = await fetch(`${urlOf(stack.port)}/api/v1/nodes/enroll-tokens`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: '{}',
    signal: AbortSignal.timeout(PROBE_MS),
  });
  if (!response.ok)
    throw new Error(`no enrolment token: status ${response.status}: ${await response.text()}`);
  return ((await response.json()) as { token: string }).token;
}

async function probe(url: string, token?: string): Promise<{ status: number | null; text: string }> {
  try {
    const response = await fetch(url, {
      headers: token ? { authorization: `Bearer ${token}` } : {},
      redirect: 'manual',
      signal: AbortSignal.timeout(PROBE_MS),
    });
    return { status: response.status, text: await response.text() };
  } catch (error) {
    const cause = (error as { cause?: NodeJS.ErrnoException }).cause;
    const reason = cause?.code ?? (error as Error).name;
    return {
      status: null,
      text:
        reason === 'ECONNREFUSED'
          ? 'nobody listens yet'
          : reason === 'TimeoutError'
            ? 'it does not answer'
            : reason,
    };
  }
}
