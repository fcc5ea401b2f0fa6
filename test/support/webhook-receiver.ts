import { createHmac } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Received {
  id: string;
  kind: string;
  eventId: string;
  text: string;
  /** Whether the signature is the one that this secret makes, of a timestamp that is not old. */
  isSigned: boolean;
}

type Behaviour = (response: ServerResponse, received: Received) => void;

/** Takes webhooks as a receiver of one's own would: it checks signatures, and can fail, hang, die and come back. */
export class WebhookReceiver {
  readonly received: Received[] = [];
  secret = '';
  behave: Behaviour = (response) => response.writeHead(204).end();
  #server: Server | null = null;
  port = 0;

  get url(): string {
    return `http://127.0.0.1:${this.port}/hook`;
  }

  async start(): Promise<this> {
    const server = createServer((request, response) => void this.#take(request, response));
    await new Promise<void>((resolve) => server.listen(this.port, '127.0.0.1', resolve));
    this.port = (server.address() as AddressInfo).port;
    this.#server = server;
    return this;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (!server) return;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString('utf8');
    const { event } = JSON.parse(body) as { event: { id: string; kind: string; text: string } };
    const received = {
      id: String(request.headers['webhook-id']),
      kind: event.kind,
      eventId: event.id,
      text: event.text,
      isSigned: this.#isSigned(request, body),
    };
    this.received.push(received);
    this.behave(response, received);
  }

  #isSigned({ headers }: IncomingMessage, body: string): boolean {
    const timestamp = Number(headers['webhook-timestamp']);
    if (Math.abs(Date.now() / 1_000 - timestamp) > 300) return false;
    const key = this.secret.startsWith('whsec_') ? Buffer.from(this.secret.slice(6), 'base64') : this.secret;
    const hmac = createHmac('sha256', key).update(`${headers['webhook-id']}.${timestamp}.${body}`);
    return headers['webhook-signature'] === `v1,${hmac.digest('base64')}`;
  }
}
