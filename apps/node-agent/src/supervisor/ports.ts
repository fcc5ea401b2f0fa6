import { createServer, type Server } from 'node:net';
import { DrvsError } from '@drvs/contracts';

/**
 * Ports on which containers listen for their DRVM's other containers. They come from a range below the one from which
 * Linux takes ports for outgoing connections (32768 and up), so that a kept port is still free after a restart.
 */
export interface PortRange {
  first: number;
  last: number;
}

const TRIES_MAX = 200;

/**
 * From its choice until its container listens itself, a port is held here by a listening socket: other agents of the
 * same host choose from the same range at the same time.
 */
export class PortHolder {
  readonly #held = new Map<number, Server>();

  constructor(
    private readonly host: string,
    private readonly range: PortRange,
    private readonly random: () => number = Math.random,
  ) {}

  /** @param taken ports that this agent has given to DRVMs, also to stopped ones. */
  async choose(taken: ReadonlySet<number>): Promise<number> {
    const count = this.range.last - this.range.first + 1;
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const port = this.range.first + Math.floor(this.random() * count);
      if (!taken.has(port) && !this.#held.has(port) && (await this.hold(port))) return port;
    }
    throw new DrvsError(
      'InsufficientResources',
      `no free port for a container among ${this.range.first}-${this.range.last} on ${this.host} in ${TRIES_MAX} tries`,
      { hint: 'Give the agent another range with DRVS_PORTS, for instance DRVS_PORTS=21000-29999.' },
    );
  }

  /** @returns false when somebody else listens there. */
  async hold(port: number): Promise<boolean> {
    if (this.#held.has(port)) return true;
    const server = createServer((socket) => socket.destroy());
    return new Promise((resolve) => {
      server.once('error', () => resolve(false));
      server.listen({ port, host: this.host }, () => {
        server.unref();
        this.#held.set(port, server);
        resolve(true);
      });
    });
  }

  async release(port: number): Promise<void> {
    const server = this.#held.get(port);
    this.#held.delete(port);
    if (server) await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  async releaseAll(): Promise<void> {
    await Promise.all([...this.#held.keys()].map((port) => this.release(port)));
  }
}
