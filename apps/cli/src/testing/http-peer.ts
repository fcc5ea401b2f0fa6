/** A real HTTP server on a random port that answers as a test says, and remembers what it was asked. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

export interface Asked {
  method: string;
  path: string;
  query: URLSearchParams;
  headers: IncomingMessage['headers'];
  body: Buffer;
}

export type Answering = (asked: Asked, response: ServerResponse) => void | Promise<void>;

export class HttpPeer implements AsyncDisposable {
  readonly asked: Asked[] = [];

  private constructor(
    readonly server: Server,
    readonly port: number,
  ) {}

  static async start(answer: Answering, port = 0): Promise<HttpPeer> {
    let peer: HttpPeer;
    const server = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const url = new URL(request.url ?? '/', 'http://peer');
      const asked: Asked = {
        method: request.method ?? '',
        path: url.pathname,
        query: url.searchParams,
        headers: request.headers,
        body: Buffer.concat(chunks),
      };
      peer.asked.push(asked);
      await answer(asked, response);
    });
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    peer = new HttpPeer(server, (server.address() as { port: number }).port);
    return peer;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

export function json(response: ServerResponse, value: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}

export function problem(
  response: ServerResponse,
  status: number,
  code: string,
  detail: string,
  hint?: string,
): void {
  response.writeHead(status, { 'content-type': 'application/problem+json' });
  response.end(JSON.stringify({ type: 'about:blank', title: code, status, code, detail, hint }));
}
