import { NODE_DOWN_AFTER_MS } from '@drvs/contracts';
import { Injectable, Logger } from '@nestjs/common';
import { Database } from '../database/database.js';
import { Recurring } from '../jobs/recurring.js';
import { RecurringService } from '../jobs/recurring-service.js';
import { DrvmConditions } from './drvm-conditions.js';

const LOOK_EVERY_MS = 2_000;
const KINDS = { up: 'node.up', down: 'node.down' } as const;

/**
 * Notices that a node went down or came back, tells it once (however many API processes run: the last event about the
 * node decides), and judges the DRVMs on it again.
 */
@Injectable()
export class NodeWatch extends RecurringService {
  readonly #logger = new Logger('Nodes');
  readonly #known = new Map<string, keyof typeof KINDS>();
  protected readonly rounds = new Recurring(
    LOOK_EVERY_MS,
    () => this.#look(),
    ({ message }) => this.#logger.warn(message),
  );

  constructor(
    private readonly database: Database,
    private readonly conditions: DrvmConditions,
  ) {
    super();
  }

  async #look(): Promise<void> {
    const downSince = Date.now() - NODE_DOWN_AFTER_MS;
    const nodes = await this.database.unrestricted.node.findMany({
      // One that is off on purpose is not missed.
      where: { lastSeenAt: { not: null }, wantedState: { not: 'off' } },
      select: { id: true, name: true, lastSeenAt: true },
    });
    for (const { id, name, lastSeenAt } of nodes) {
      const now = (lastSeenAt?.getTime() ?? 0) < downSince ? 'down' : 'up';
      if (this.#known.get(id) === now) continue;
      await this.#tell(id, name, now);
      this.#known.set(id, now);
    }
  }

  async #tell(nodeId: string, node: string, now: keyof typeof KINDS): Promise<void> {
    await this.database.system(async (tx) => {
      await tx.$queryRaw`SELECT 1 AS locked FROM (SELECT pg_advisory_xact_lock(hashtext('drvs.node-watch'))) AS lock`;
      const last = await tx.event.findFirst({
        where: { nodeId, kind: { in: Object.values(KINDS) } },
        orderBy: { id: 'desc' },
        select: { kind: true },
      });
      if (last?.kind === KINDS[now]) return;
      const text =
        now === 'up'
          ? `${node} is up`
          : `${node} is down: nothing was heard of it for ${NODE_DOWN_AFTER_MS / 1000} s`;
      await tx.event.create({ data: { kind: KINDS[now], nodeId, node, text } });
    });
    const slices = await this.database.unrestricted.slice.findMany({
      where: { nodeId },
      select: { drvmId: true },
    });
    await this.conditions.refresh(slices.map(({ drvmId }) => drvmId));
  }
}
