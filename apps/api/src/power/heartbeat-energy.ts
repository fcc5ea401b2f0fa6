import type { Heartbeat } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { Database } from '../database/database.js';
import { cpusOf, modelOf } from './power-model.js';

const WRITE_EVERY_MS = 10_000;
const DRIVER_FRESH_MS = 180_000;

interface Reading {
  source: 'rapl' | 'command';
  joules: number;
  at: number;
}

/** Makes watts of the joules that agents count, and keeps the last figure of each node. */
@Injectable()
export class HeartbeatEnergy {
  readonly #last = new Map<string, Reading>();

  constructor(private readonly database: Database) {}

  async note(nodeId: string, energy: Heartbeat['energy']): Promise<void> {
    if (!energy) {
      this.#last.delete(nodeId);
      return;
    }
    const now = performance.now();
    const before = this.#last.get(nodeId);
    if (before && now - before.at < WRITE_EVERY_MS && before.source === energy.source) return;
    this.#last.set(nodeId, { ...energy, at: now });
    // An agent that was started anew begins at nought.
    if (!before || before.source !== energy.source || energy.joules < before.joules) return;
    const watts = ((energy.joules - before.joules) * 1_000) / (now - before.at);
    await this.#keep(nodeId, energy.source, watts);
  }

  /** A driver's meter, which sees the whole machine, is preferred while it gives figures. */
  async #keep(nodeId: string, source: 'rapl' | 'command', watts: number): Promise<void> {
    const node = await this.database.unrestricted.node.findUnique({
      where: { id: nodeId },
      select: { inventory: true, power: true },
    });
    if (!node) return;
    const { power } = node;
    const isDriver =
      power?.wattsSource === 'driver' && Date.now() - (power.wattsAt?.getTime() ?? 0) < DRIVER_FRESH_MS;
    if (isDriver) return;
    const rest = source === 'rapl' ? modelOf(power, cpusOf(node.inventory)).restWatts : 0;
    const data = { watts: watts + rest, wattsSource: source, wattsAt: new Date() };
    await this.database.unrestricted.nodePower.upsert({
      where: { nodeId },
      create: { nodeId, ...data },
      update: data,
    });
  }
}
