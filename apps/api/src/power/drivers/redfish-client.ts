import { request } from 'node:http';
import { isIP } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { driverFailed } from './power-driver.js';

export interface RedfishEndpoint {
  host: string;
  port: number;
  /** SHA-256 of the service's certificate: it is believed for that alone. */
  pin?: string;
  /** PEM of the authority that signed it; without pin and authority those of the system count. */
  authority?: string;
}

export interface RedfishAnswer {
  status: number;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  body: Record<string, unknown>;
}

const CONNECT_MS = 10_000;
const ANSWER_MS = 20_000;
const BODY_MAX_BYTES = 4 * 1024 * 1024;

/** One request over a connection of its own, which is proven before a byte of it is sent. */
export async function redfishRequest(
  endpoint: RedfishEndpoint,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: unknown,
  signal: AbortSignal,
): Promise<RedfishAnswer> {
  const either = AbortSignal.any([signal, AbortSignal.timeout(CONNECT_MS + ANSWER_MS)]);
  const socket = await proven(endpoint, either);
  const text = body === undefined ? '' : JSON.stringify(body);
  try {
    return await new Promise<RedfishAnswer>((resolve, reject) => {
      const outgoing = request(
        {
          method,
          path,
          createConnection: () => socket,
          signal: either,
          headers: {
            host: `${isIP(endpoint.host) === 6 ? `[${endpoint.host}]` : endpoint.host}:${endpoint.port}`,
            accept: 'application/json',
            'odata-version': '4.0',
            connection: 'close',
            ...(text === ''
              ? {}
              : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) }),
            ...headers,
          },
        },
        (incoming) => {
          const chunks: Buffer[] = [];
          let size = 0;
          incoming.on('data', (chunk: Buffer) => {
            size += chunk.length;
            if (size > BODY_MAX_BYTES) incoming.destroy(new Error('the answer is too large'));
            else chunks.push(chunk);
          });
          incoming.on('error', reject);
          incoming.on('end', () => {
            resolve({
              status: incoming.statusCode ?? 0,
              headers: incoming.headers,
              body: parsed(Buffer.concat(chunks).toString('utf8')),
            });
          });
        },
      );
      outgoing.on('error', reject);
      outgoing.end(text);
    });
  } catch (error) {
    throw unreached(endpoint, error as Error);
  } finally {
    socket.destroy();
  }
}

async function proven(endpoint: RedfishEndpoint, signal: AbortSignal): Promise<TLSSocket> {
  const { host, port, pin, authority } = endpoint;
  const socket = connect({
    host,
    port,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ca: authority,
    rejectUnauthorized: pin === undefined,
    ALPNProtocols: ['http/1.1'],
  });
  try {
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => reject(new Error('it did not answer in time'));
      signal.addEventListener('abort', onAbort, { once: true });
      socket.once('secureConnect', resolve);
      socket.once('error', reject);
      socket.once('close', () => reject(new Error('it closed the connection')));
      if (signal.aborted) onAbort();
    });
  } catch (error) {
    socket.destroy();
    throw unreached(endpoint, error as Error);
  }
  socket.on('error', () => undefined);
  const seen = socket.getPeerCertificate().fingerprint256;
  if (pin === undefined || normal(pin) === normal(seen)) return socket;
  socket.destroy();
  throw driverFailed(
    'redfish',
    `${host}:${port} shows another certificate than the one that is pinned (${seen})`,
    'If its certificate was replaced on purpose, set the new pin with `drvs node power set`; else somebody is in between.',
  );
}

const normal = (fingerprint: string): string => fingerprint.replaceAll(/[^0-9a-f]/gi, '').toLowerCase();

function parsed(text: string): Record<string, unknown> {
  if (text.trim() === '') return {};
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function unreached({ host, port }: RedfishEndpoint, error: Error & { code?: string }): Error {
  if (error.name === 'PowerFailed') return error;
  const isTrust = /certificate|self.signed|unable to verify|altname/i.test(`${error.code} ${error.message}`);
  return driverFailed(
    'redfish',
    `${host}:${port}: ${error.message}`,
    isTrust
      ? 'Give the SHA-256 of its certificate (pin) or the authority that signed it (authority).'
      : 'Is the management controller reached from the API?',
    error,
  );
}
