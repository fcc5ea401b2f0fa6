import { Inject, Injectable } from '@nestjs/common';
import { CONFIG, type Config } from '../config/config.js';
import { askSupervisor } from './drivers/local-supervisor.js';

const ASK_AGAIN_MS = 30_000;
const ASK_WITHIN_MS = 3_000;

/** Which nodes are agents of the stack on this machine, as its supervisor says. */
@Injectable()
export class LocalNodes {
  #names: ReadonlySet<string> = new Set();
  #askedAt = Number.NEGATIVE_INFINITY;

  constructor(@Inject(CONFIG) private readonly config: Config) {}

  async has(name: string): Promise<boolean> {
    return (await this.names()).has(name);
  }

  async names(): Promise<ReadonlySet<string>> {
    const { localPowerSocket } = this.config;
    if (localPowerSocket === null || performance.now() - this.#askedAt < ASK_AGAIN_MS) return this.#names;
    this.#askedAt = performance.now();
    try {
      const answer = await askSupervisor(
        localPowerSocket,
        { do: 'list' },
        AbortSignal.timeout(ASK_WITHIN_MS),
      );
      if ('nodes' in answer) this.#names = new Set(answer.nodes.map((node) => node.name));
    } catch {
      // The supervisor is away for a moment: what it said last still holds.
      this.#askedAt = Number.NEGATIVE_INFINITY;
    }
    return this.#names;
  }
}
