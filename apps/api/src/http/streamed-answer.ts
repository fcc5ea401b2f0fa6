import { once } from 'node:events';
import type { FastifyReply } from 'fastify';

/** An answer whose parts are written as they come, no faster than they are read. Until it has begun, an error can still be told. */
export class StreamedAnswer {
  hasBegun = false;

  constructor(
    private readonly reply: FastifyReply,
    private readonly headers: Readonly<Record<string, string>>,
    private readonly signal: AbortSignal,
  ) {}

  begin(): void {
    if (this.hasBegun || this.signal.aborted) return;
    this.hasBegun = true;
    const { raw } = this.reply.hijack();
    for (const [name, value] of Object.entries(this.reply.getHeaders())) {
      if (value !== undefined) raw.setHeader(name, value);
    }
    raw.writeHead(200, {
      'cache-control': 'no-store',
      // Kept alive after a long stream, it would keep a server that is closing from its end.
      connection: 'close',
      ...this.headers,
    });
    raw.flushHeaders();
  }

  /** Resolves when more may be written. */
  async write(text: string): Promise<void> {
    this.signal.throwIfAborted();
    this.begin();
    if (!this.reply.raw.write(text)) await once(this.reply.raw, 'drain', { signal: this.signal });
  }

  end(): void {
    this.reply.raw.end();
  }

  /** The reader sees that the answer is not whole: the chunked body has no end. */
  breakOff(): void {
    this.reply.raw.destroy();
  }
}
