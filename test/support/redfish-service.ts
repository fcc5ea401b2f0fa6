import { createHash, randomBytes, X509Certificate } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createAuthority } from '../../apps/api/src/operations/authority.js';

type Json = Record<string, unknown>;
type Faults = 'no-allowable-values' | 'action-info' | 'busy' | 'no-reset' | 'forbidden' | 'no-token';

/**
 * A Redfish service as DMTF publishes it (DSP0266, schemas ServiceRoot.v1, SessionService.v1, ComputerSystem.v1, Chassis.v1,
 * Power.v1): over HTTPS, with sessions and basic authentication, ETags, and errors of the Base message registry.
 */
export class RedfishService {
  static readonly user = 'operator';
  static readonly password = 'pässwörd';

  power: 'On' | 'Off' = 'Off';
  watts = 123;
  allowable = ['On', 'ForceOff', 'GracefulShutdown', 'PowerCycle'];
  systems = ['1'];
  readonly faults = new Set<Faults>();
  readonly resets: string[] = [];
  readonly requests: string[] = [];
  readonly sessions = new Set<string>();
  /** What the system's ETag is made of; changing it makes a reader's stale. */
  revision = 1;
  /** Called before a reset is answered. */
  beforeReset: () => void = () => undefined;
  #busyLeft = 1;

  private constructor(
    private readonly server: Server,
    readonly certificate: string,
  ) {}

  static async start(): Promise<RedfishService> {
    const { certificate, privateKey } = await createAuthority('redfish');
    const key = `-----BEGIN PRIVATE KEY-----\n${Buffer.from(privateKey).toString('base64')}\n-----END PRIVATE KEY-----\n`;
    const server = createServer({ key, cert: certificate });
    const service = new RedfishService(server, certificate);
    server.on('request', (request, response) => void service.#answer(request, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return service;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** SHA-256 of its certificate. */
  get pin(): string {
    return new X509Certificate(this.certificate).fingerprint256;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '').replace(/\/$/, '');
    this.requests.push(`${request.method} ${path}`);
    let text = '';
    for await (const chunk of request) text += String(chunk);
    const body = text === '' ? {} : (JSON.parse(text) as Json);
    if (this.faults.has('busy') && this.#busyLeft > 0 && path !== '/redfish/v1') {
      this.#busyLeft--;
      this.#send(response, 503, error('ServiceTemporarilyUnavailable', 'The service is busy.'), {
        'retry-after': '1',
      });
      return;
    }
    if (path === '/redfish/v1' && request.method === 'GET') return this.#send(response, 200, ROOT);
    if (path === '/redfish/v1/SessionService/Sessions' && request.method === 'POST') {
      return this.#login(response, body);
    }
    if (!this.#isKnown(request)) {
      this.#send(response, 401, error('NoValidSession', 'There is no valid session established.'), {
        'www-authenticate': 'Basic realm="redfish"',
      });
      return;
    }
    const session = /^\/redfish\/v1\/SessionService\/Sessions\/(\w+)$/.exec(path)?.[1];
    if (session !== undefined && request.method === 'DELETE') {
      this.sessions.delete(session);
      response.writeHead(204).end();
      return;
    }
    if (path === '/redfish/v1/Systems') {
      const members = this.systems.map((id) => ({ '@odata.id': `/redfish/v1/Systems/${id}` }));
      this.#send(response, 200, {
        '@odata.type': '#ComputerSystemCollection.ComputerSystemCollection',
        'Members@odata.count': members.length,
        Members: members,
      });
      return;
    }
    const id = /^\/redfish\/v1\/Systems\/(\w+)/.exec(path)?.[1];
    if (id !== undefined && this.systems.includes(id)) {
      if (path.endsWith('/Actions/ComputerSystem.Reset')) return this.#reset(request, response, body);
      if (path.endsWith('/ResetActionInfo')) {
        this.#send(response, 200, {
          '@odata.type': '#ActionInfo.v1_3_0.ActionInfo',
          Parameters: [{ Name: 'ResetType', Required: true, AllowableValues: this.allowable }],
        });
        return;
      }
      this.#send(response, 200, this.#system(id), { etag: this.#etag() });
      return;
    }
    if (path === '/redfish/v1/Chassis/1') {
      this.#send(response, 200, {
        '@odata.type': '#Chassis.v1_21_0.Chassis',
        Power: { '@odata.id': '/redfish/v1/Chassis/1/Power' },
      });
      return;
    }
    if (path === '/redfish/v1/Chassis/1/Power') {
      this.#send(response, 200, {
        '@odata.type': '#Power.v1_7_1.Power',
        PowerControl: [{ MemberId: '0', PowerConsumedWatts: this.watts }],
      });
      return;
    }
    this.#send(
      response,
      404,
      error('ResourceMissingAtURI', `The resource at the URI ${path} was not found.`),
    );
    return;
  }

  #login(response: ServerResponse, { UserName, Password }: Json): void {
    if (UserName !== RedfishService.user || Password !== RedfishService.password) {
      this.#send(
        response,
        401,
        error('ResourceAtUriUnauthorized', 'The user name or the password is wrong.'),
      );
      return;
    }
    const id = randomBytes(8).toString('hex');
    this.sessions.add(id);
    const token: Record<string, string> = this.faults.has('no-token') ? {} : { 'x-auth-token': tokenOf(id) };
    this.#send(
      response,
      201,
      { '@odata.type': '#Session.v1_5_0.Session', Id: id, UserName },
      { ...token, location: `https://127.0.0.1:${this.port}/redfish/v1/SessionService/Sessions/${id}` },
    );
  }

  #isKnown({ headers }: IncomingMessage): boolean {
    const token = headers['x-auth-token'];
    if (typeof token === 'string') return [...this.sessions].some((id) => tokenOf(id) === token);
    const basic = /^Basic (.+)$/.exec(headers.authorization ?? '')?.[1];
    return (
      basic !== undefined &&
      Buffer.from(basic, 'base64').toString('utf8') === `${RedfishService.user}:${RedfishService.password}`
    );
  }

  #system(id: string): Json {
    const target = `/redfish/v1/Systems/${id}/Actions/ComputerSystem.Reset`;
    const reset: Json = { target };
    if (this.faults.has('action-info'))
      reset['@Redfish.ActionInfo'] = `/redfish/v1/Systems/${id}/ResetActionInfo`;
    else if (!this.faults.has('no-allowable-values'))
      reset['ResetType@Redfish.AllowableValues'] = this.allowable;
    return {
      '@odata.type': '#ComputerSystem.v1_20_0.ComputerSystem',
      '@odata.id': `/redfish/v1/Systems/${id}`,
      '@odata.etag': this.#etag(),
      Id: id,
      PowerState: this.power,
      Links: { Chassis: [{ '@odata.id': '/redfish/v1/Chassis/1' }] },
      Actions: this.faults.has('no-reset') ? {} : { '#ComputerSystem.Reset': reset },
    };
  }

  #etag(): string {
    return `"${createHash('sha256').update(`${this.revision}/${this.power}`).digest('hex').slice(0, 8)}"`;
  }

  #reset(request: IncomingMessage, response: ServerResponse, { ResetType }: Json): void {
    if (this.faults.has('forbidden')) {
      this.#send(response, 403, error('InsufficientPrivilege', 'The account has too few privileges.'));
      return;
    }
    this.beforeReset();
    const match = request.headers['if-match'];
    if (match !== undefined && match !== this.#etag()) {
      this.#send(response, 412, error('PreconditionFailed', 'The ETag did not match.'));
      return;
    }
    if (typeof ResetType !== 'string' || !this.allowable.includes(ResetType)) {
      this.#send(
        response,
        400,
        error('ActionParameterNotSupported', `The value ${ResetType} is not supported.`),
      );
      return;
    }
    this.resets.push(ResetType);
    this.power = ResetType === 'ForceOff' || ResetType === 'GracefulShutdown' ? 'Off' : 'On';
    response.writeHead(204).end();
  }

  #send(response: ServerResponse, status: number, body: Json, headers: Record<string, string> = {}): void {
    response.writeHead(status, { 'content-type': 'application/json', 'odata-version': '4.0', ...headers });
    response.end(JSON.stringify(body));
  }
}

const ROOT: Json = {
  '@odata.type': '#ServiceRoot.v1_15_0.ServiceRoot',
  '@odata.id': '/redfish/v1/',
  Id: 'RootService',
  RedfishVersion: '1.17.0',
  Systems: { '@odata.id': '/redfish/v1/Systems' },
  Chassis: { '@odata.id': '/redfish/v1/Chassis' },
  SessionService: { '@odata.id': '/redfish/v1/SessionService' },
  Links: { Sessions: { '@odata.id': '/redfish/v1/SessionService/Sessions' } },
};

const tokenOf = (id: string): string => createHash('sha256').update(id).digest('hex');

/** As DSP0266 shapes it (8.6). */
function error(messageId: string, message: string): Json {
  return {
    error: {
      code: `Base.1.16.${messageId}`,
      message,
      '@Message.ExtendedInfo': [
        {
          MessageId: `Base.1.16.${messageId}`,
          Message: message,
          Resolution: 'See the documentation of the service.',
        },
      ],
    },
  };
}
