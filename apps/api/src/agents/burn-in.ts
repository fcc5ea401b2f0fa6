import { DrvsError, type NodeCheck, type NodeCheckItem } from '@drvs/contracts';
import { Injectable, Logger } from '@nestjs/common';
import { Database } from '../database/database.js';
import type { Prisma } from '../gen/client.js';
import { Recurring } from '../jobs/recurring.js';
import { RecurringService } from '../jobs/recurring-service.js';
import type { AgentLink } from './agent-link.js';
import { AgentLinks } from './agent-links.js';

const CHECK_WITHIN_MS = 120_000;
/** Nodes whose check was asked for are looked for this often; one that has just joined is checked at once. */
const LOOK_EVERY_MS = 2_000;
/** A node whose clock is further from the API's tells times that nobody can use. */
const CLOCK_SKEW_MAX_MS = 5_000;

/**
 * Makes the burn-in check of nodes on probation, by the process that holds the node's channel. A check that could not
 * be made (the channel broke) leaves the node pending, and is made when the agent is back.
 */
@Injectable()
export class BurnIn extends RecurringService {
  readonly #logger = new Logger('BurnIn');
  readonly #underWay = new Map<string, Promise<void>>();
  protected readonly rounds = new Recurring(
    LOOK_EVERY_MS,
    () => this.#lookForPending(),
    ({ message }) => this.#logger.warn(message),
  );

  constructor(
    private readonly database: Database,
    private readonly links: AgentLinks,
  ) {
    super();
  }

  override async stop(): Promise<void> {
    await super.stop();
    await Promise.all(this.#underWay.values());
  }

  /** Checks the node of this link if it is on probation; once at a time. Does not throw. */
  checkIfPending(link: AgentLink): Promise<void> {
    const running = this.#underWay.get(link.nodeId);
    if (running) return running;
    const work = this.#check(link)
      .catch((error: unknown) => this.#logger.warn(`${link.nodeName}: ${(error as Error).message}`))
      .finally(() => this.#underWay.delete(link.nodeId));
    this.#underWay.set(link.nodeId, work);
    return work;
  }

  async #lookForPending(): Promise<void> {
    const held = this.links.all();
    if (held.length === 0) return;
    const pending = await this.database.unrestricted.node.findMany({
      where: { probation: 'pending', id: { in: held.map(({ nodeId }) => nodeId) } },
      select: { id: true },
    });
    for (const { id } of pending) {
      const link = this.links.get(id);
      if (link) void this.checkIfPending(link);
    }
  }

  async #check(link: AgentLink): Promise<void> {
    const { nodeId } = link;
    const node = await this.database.unrestricted.node.findUnique({
      where: { id: nodeId },
      select: { probation: true },
    });
    if (node?.probation !== 'pending') return;
    const sentAt = Date.now();
    const asked = performance.now();
    let items: NodeCheckItem[];
    try {
      const { result } = await link.call('node.check', {}, { timeoutMs: CHECK_WITHIN_MS });
      items = withSkew(result, sentAt, performance.now() - asked - result.tookMs);
    } catch (error) {
      if (link.peer.isClosed) throw error;
      // An agent of an older version does not know the check; one that takes too long is not sound.
      const { message } = DrvsError.from(error);
      items = [
        { name: 'cpu', passed: false, detail: `the check could not be made: ${message}`, figures: {} },
      ];
    }
    await this.#record(link, items);
  }

  async #record({ nodeId, nodeName }: AgentLink, items: NodeCheckItem[]): Promise<void> {
    const failed = items.filter(({ passed }) => !passed);
    const probation = failed.length === 0 ? 'passed' : 'failed';
    await this.database.system(async (tx) => {
      // Somebody may have accepted the node meanwhile: the result is kept, and the acceptance stands.
      await tx.node.updateMany({
        where: { id: nodeId },
        data: { checkResult: items as unknown as Prisma.InputJsonArray, checkedAt: new Date() },
      });
      const { count } = await tx.node.updateMany({
        where: { id: nodeId, probation: 'pending' },
        data: { probation, generation: { increment: 1 } },
      });
      if (count === 0) return;
      const text =
        failed.length === 0
          ? `${nodeName} passed its check and takes DRVMs`
          : `${nodeName} failed its check and gets nothing new: ${failed.map(({ name, detail }) => `${name}: ${detail}`).join('; ')}`;
      await tx.event.create({ data: { kind: `node.check-${probation}`, nodeId, node: nodeName, text } });
    });
  }
}

/** The agent read its clock when it was asked: half the time on the way after that was sent. */
function withSkew({ at, items }: NodeCheck, sentAt: number, onTheWayMs: number): NodeCheckItem[] {
  const skewMs = Math.round(Date.parse(at) - (sentAt + Math.max(0, onTheWayMs) / 2));
  return items.map((item) => {
    if (item.name !== 'clock') return item;
    const isFar = Math.abs(skewMs) > CLOCK_SKEW_MAX_MS + Math.max(0, onTheWayMs) / 2;
    return {
      ...item,
      passed: item.passed && !isFar,
      detail: isFar ? `it is ${skewMs} ms off the API's; set it by NTP` : item.detail,
      figures: { ...item.figures, skewMs },
    };
  });
}
