import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { driverFailed, type PowerDriver, type PowerReading, unread } from './power-driver.js';
import { type RedfishAnswer, type RedfishEndpoint, redfishRequest } from './redfish-client.js';

export const RedfishSettings = z.strictObject({
  host: z.string().regex(/^[A-Za-z0-9:._-]{1,253}$/, 'is a name or an address'),
  port: z.int().min(1).max(65_535).default(443),
  user: z.string().min(1).max(128),
  /** Id of the system in the service; needed where one controller looks after several. */
  system: z.string().max(128).optional(),
  /** A session is opened and closed around each call; `basic` for services without sessions. */
  login: z.enum(['session', 'basic']).default('session'),
  pin: z
    .string()
    .refine(
      (text) => /^[0-9a-f]{64}$/i.test(text.replaceAll(':', '')),
      'is the SHA-256 of a certificate in hexadecimal',
    )
    .optional(),
  authority: z
    .string()
    .max(64 * 1024)
    .optional(),
});
export type RedfishSettings = z.infer<typeof RedfishSettings>;
export const RedfishSecret = z.strictObject({ password: z.string().min(1).max(256) });

/** Where every service begins (DSP0266, 6.2). */
const ROOT = '/redfish/v1/';
const BUSY_TRIES = 3;
const BUSY_WAIT_MAX_S = 10;

type Resource = Record<string, unknown>;
type ResetType =
  | 'On'
  | 'ForceOn'
  | 'GracefulShutdown'
  | 'PushPowerButton'
  | 'ForceOff'
  | 'PowerCycle'
  | 'ForceRestart';

/** What is asked for, and by which of the resets that a service may offer; the first that it allows is taken. */
const RESETS: Readonly<Record<'on' | 'gently' | 'at-once' | 'cycle', readonly ResetType[]>> = {
  on: ['On', 'ForceOn', 'PushPowerButton'],
  gently: ['GracefulShutdown', 'PushPowerButton', 'ForceOff'],
  'at-once': ['ForceOff'],
  cycle: ['PowerCycle', 'ForceRestart'],
};

/** Redfish over HTTPS (DMTF DSP0266): reads a ComputerSystem and resets it as the service itself says that it can be. */
export function redfish(settings: RedfishSettings, password: string | undefined): PowerDriver {
  const endpoint: RedfishEndpoint = {
    host: settings.host,
    port: settings.port,
    pin: settings.pin,
    authority: settings.authority,
  };
  const within = async <T>(signal: AbortSignal, work: (service: Service) => Promise<T>): Promise<T> => {
    const service = new Service(endpoint, settings, password ?? '', signal);
    await service.open();
    try {
      return await work(service);
    } finally {
      await service.close();
    }
  };
  const reset = (wish: keyof typeof RESETS, signal: AbortSignal): Promise<void> =>
    within(signal, (service) => service.reset(wish));
  return {
    name: 'redfish',
    canCut: true,
    status: (signal) =>
      within(signal, (service) => service.read()).catch((error: Error) => {
        if (signal.aborted) throw error;
        return unread(error.message);
      }),
    on: (signal) => reset('on', signal),
    off: (how, signal) => reset(how, signal),
    cycle: (signal) => reset('cycle', signal),
  };
}

/** One conversation with a service. */
class Service {
  #authorization: Record<string, string> = {};
  #session: string | null = null;
  #root: Resource = {};

  constructor(
    private readonly endpoint: RedfishEndpoint,
    private readonly settings: RedfishSettings,
    private readonly password: string,
    private readonly signal: AbortSignal,
  ) {}

  async open(): Promise<void> {
    // The root is read by anybody: it says where the rest is.
    this.#root = (await this.#ask('GET', ROOT)).body;
    const { user, login } = this.settings;
    if (login === 'basic') {
      this.#authorization = {
        authorization: `Basic ${Buffer.from(`${user}:${this.password}`).toString('base64')}`,
      };
      return;
    }
    const sessions = linkOf(this.#root.Links, 'Sessions') ?? `${ROOT}SessionService/Sessions`;
    const answer = await this.#ask('POST', sessions, { UserName: user, Password: this.password });
    const token = answer.headers['x-auth-token'];
    if (typeof token !== 'string') {
      throw driverFailed(
        'redfish',
        'the service opened a session and gave no token for it',
        'Try the login "basic".',
      );
    }
    this.#authorization = { 'x-auth-token': token };
    this.#session = samePlace(answer.headers.location) ?? linkOf(answer.body) ?? null;
  }

  /** Services have few sessions: one that is left open is missing for the next caller. */
  async close(): Promise<void> {
    if (this.#session === null) return;
    await redfishRequest(
      this.endpoint,
      'DELETE',
      this.#session,
      this.#authorization,
      undefined,
      AbortSignal.timeout(5_000),
    ).catch(() => undefined);
  }

  async read(): Promise<PowerReading> {
    const { body } = await this.#system();
    const said = String(body.PowerState ?? '');
    const power = said === 'On' || said === 'PoweringOff' ? 'on' : said === 'Off' ? 'off' : 'unknown';
    return { power, watts: await this.#watts(body), detail: `PowerState is ${said || 'not told'}` };
  }

  async reset(wish: keyof typeof RESETS): Promise<void> {
    for (let isFirst = true; ; isFirst = false) {
      const { body, headers } = await this.#system();
      const action = (body.Actions as Resource | undefined)?.['#ComputerSystem.Reset'] as
        | Resource
        | undefined;
      const target = samePlace(action?.target);
      if (!action || target === null) {
        throw driverFailed(
          'redfish',
          'the system has no action Reset',
          'Is the right system named (setting system)?',
        );
      }
      const allowed = await this.#allowed(action);
      const type = RESETS[wish].find((candidate) => allowed === null || allowed.includes(candidate));
      if (type === undefined) {
        throw driverFailed(
          'redfish',
          `the system cannot be reset as ${RESETS[wish].join(' or ')}; it allows ${allowed?.join(', ')}`,
          'Use another driver for this node.',
        );
      }
      const etag = headers.etag;
      const condition: Record<string, string> = typeof etag === 'string' ? { 'if-match': etag } : {};
      const answer = await this.#send('POST', target, { ResetType: type }, condition);
      // It has changed since it was read: once more with what it is now.
      if (answer.status === 412 && isFirst) continue;
      if (answer.status >= 200 && answer.status < 300) return;
      throw refused(answer, `Reset ${type}`);
    }
  }

  async #system(): Promise<RedfishAnswer> {
    const systems = linkOf(this.#root.Systems) ?? `${ROOT}Systems`;
    const { body } = await this.#ask('GET', systems);
    const members = ((body.Members ?? []) as unknown[]).flatMap((member) => linkOf(member) ?? []);
    const { system } = this.settings;
    const found =
      system === undefined
        ? members.length === 1
          ? members[0]
          : undefined
        : members.find((path) => path.replace(/\/$/, '').endsWith(`/${system}`));
    if (found === undefined) {
      const names = members.map((path) => path.replace(/\/$/, '').split('/').at(-1));
      throw driverFailed(
        'redfish',
        system === undefined
          ? `the service looks after ${members.length} systems (${names.join(', ')}), and none is named`
          : `the service has no system ${system}, only ${names.join(', ') || 'none'}`,
        'Name it in the setting system.',
      );
    }
    return this.#ask('GET', found);
  }

  /** Null when the service does not say what it allows: then it is tried. */
  async #allowed(action: Resource): Promise<string[] | null> {
    const stated = action['ResetType@Redfish.AllowableValues'];
    if (Array.isArray(stated)) return stated.map(String);
    const info = samePlace(action['@Redfish.ActionInfo']);
    if (info === null) return null;
    const { body } = await this.#ask('GET', info);
    const parameters = (Array.isArray(body.Parameters) ? body.Parameters : []) as Resource[];
    const values = parameters.find(({ Name }) => Name === 'ResetType')?.AllowableValues;
    return Array.isArray(values) ? values.map(String) : null;
  }

  /** From the chassis of the system; null where none measures. */
  async #watts(system: Resource): Promise<number | null> {
    const chassis = ((system.Links as Resource | undefined)?.Chassis ?? []) as unknown[];
    const path = linkOf(chassis[0]);
    if (path === null) return null;
    try {
      const { body } = await this.#ask('GET', path);
      const metrics = linkOf(body.EnvironmentMetrics);
      if (metrics !== null) {
        const reading = ((await this.#ask('GET', metrics)).body.PowerWatts as Resource | undefined)?.Reading;
        if (typeof reading === 'number') return reading;
      }
      const power = linkOf(body.Power);
      if (power === null) return null;
      const controls = (await this.#ask('GET', power)).body.PowerControl as Resource[] | undefined;
      const watts = controls?.[0]?.PowerConsumedWatts;
      return typeof watts === 'number' ? watts : null;
    } catch {
      this.signal.throwIfAborted();
      return null;
    }
  }

  async #ask(method: string, path: string, body?: unknown): Promise<RedfishAnswer> {
    const answer = await this.#send(method, path, body, {});
    if (answer.status >= 200 && answer.status < 300) return answer;
    throw refused(answer, `${method} ${path}`);
  }

  /** A service that is busy says when it may be asked again. */
  async #send(
    method: string,
    path: string,
    body: unknown,
    headers: Record<string, string>,
  ): Promise<RedfishAnswer> {
    for (let attempt = 1; ; attempt++) {
      const all = { ...this.#authorization, ...headers };
      const answer = await redfishRequest(this.endpoint, method, path, all, body, this.signal);
      if (answer.status !== 503 || attempt >= BUSY_TRIES) return answer;
      const seconds = Math.min(BUSY_WAIT_MAX_S, Math.max(1, Number(answer.headers['retry-after']) || 1));
      await delay(seconds * 1_000, undefined, { signal: this.signal });
    }
  }
}

/** `@odata.id` of a link, or of the member of that name of a list of links. */
function linkOf(value: unknown, member?: string): string | null {
  const resource = (member === undefined ? value : (value as Resource | undefined)?.[member]) as
    | Resource
    | undefined;
  return samePlace(resource?.['@odata.id']);
}

/** Only a path is believed: a service does not send the caller elsewhere with its password. */
function samePlace(value: unknown): string | null {
  if (typeof value !== 'string') return null;
  const path = value.replace(/^https?:\/\/[^/]+/, '');
  return path.startsWith('/') && !path.startsWith('//') ? path : null;
}

function refused({ status, body }: RedfishAnswer, what: string): Error {
  const error = body.error as Resource | undefined;
  const more = (error?.['@Message.ExtendedInfo'] ?? []) as Resource[];
  const said = String(more[0]?.Message ?? error?.message ?? '').slice(0, 300);
  const hint =
    status === 401
      ? 'Look at the user and the password.'
      : status === 403
        ? 'The user may not do this: it needs the privilege ConfigureComponents.'
        : String(more[0]?.Resolution ?? 'See the log of the management controller.').slice(0, 300);
  return driverFailed(
    'redfish',
    `${what} was answered with status ${status}${said ? `: ${said}` : ''}`,
    hint,
  );
}
