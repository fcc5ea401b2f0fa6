import { AgentMethods, NODE_DOWN_AFTER_MS, NodeInventory } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { Database } from '../database/database.js';
import { JobsService } from '../jobs/jobs.service.js';
import { judge, type Testimony, type Verdict } from './failure-state.js';

const WITNESSES_MAX = 5;
const TARGETS_MAX = 8;
const ADDRESSES_MAX = 2;
/** Where a machine that runs answers, if only by refusing. */
const SSH_PORT = 22;
const CONNECT_MS = 2_000;
const ANSWER_WITHIN_MS = 8_000;

/** Has other nodes try to reach one that fell silent. */
@Injectable()
export class Witnesses {
  constructor(
    private readonly database: Database,
    private readonly jobs: JobsService,
  ) {}

  /** @param key unique for each time that they are asked */
  async ask(nodeId: string, key: string, signal: AbortSignal): Promise<Verdict> {
    const targets = await this.#targets(nodeId);
    const others = await this.#others(nodeId);
    const testimonies = await Promise.all(
      others.map(async ({ id, name }): Promise<Testimony> => {
        const options = { key: `${key}.${id}`, withinMs: ANSWER_WITHIN_MS, signal };
        try {
          const answer = await this.jobs.nodes.run(
            id,
            'node.witness',
            { targets, timeoutMs: CONNECT_MS },
            options,
          );
          return { witness: name, marks: AgentMethods['node.witness'].result.parse(answer) };
        } catch (error) {
          signal.throwIfAborted();
          void error; // It did not answer: it bears no witness, which counts.
          return { witness: name, marks: null };
        }
      }),
    );
    return judge(testimonies);
  }

  /** Where its containers listen, and where its machine would at least refuse. */
  async #targets(nodeId: string): Promise<{ host: string; port: number }[]> {
    const node = await this.database.unrestricted.node.findUnique({
      where: { id: nodeId },
      select: {
        inventory: true,
        slices: { select: { host: true, port: true }, where: { host: { not: null }, port: { not: null } } },
      },
    });
    const containers = (node?.slices ?? []).map(({ host, port }) => ({ host: host!, port: port! }));
    const inventory = NodeInventory.pick({ interfaces: true }).safeParse(node?.inventory);
    const addresses = (inventory.success ? inventory.data.interfaces : [])
      .flatMap(({ addresses: all }) => all)
      .map((address) => address.split('/')[0]!)
      .filter((address) => /^\d+(\.\d+){3}$/.test(address) && !address.startsWith('127.'))
      .slice(0, ADDRESSES_MAX)
      .map((host) => ({ host, port: SSH_PORT }));
    return [...containers.slice(0, TARGETS_MAX), ...addresses];
  }

  /** Nodes that are heard; those that share a DRVM with it first: they know the way to it. */
  async #others(nodeId: string): Promise<{ id: string; name: string }[]> {
    return this.database.unrestricted.$queryRaw`
      SELECT n.id, n.name FROM node n
      WHERE n.id <> ${nodeId}::uuid AND n.last_seen_at > ${new Date(Date.now() - NODE_DOWN_AFTER_MS)}::timestamptz
        AND n.wanted_state <> 'off'
      ORDER BY EXISTS (
        SELECT FROM slice own JOIN slice theirs ON theirs.drvm_id = own.drvm_id
        WHERE own.node_id = ${nodeId}::uuid AND theirs.node_id = n.id
      ) DESC, n.id LIMIT ${WITNESSES_MAX}`;
  }
}
