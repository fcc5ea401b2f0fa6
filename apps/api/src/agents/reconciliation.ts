import { type ContainerState, NODE_DOWN_AFTER_MS } from '@drvs/contracts';
import { Injectable, Logger } from '@nestjs/common';
import { SYSTEM } from '../auth/actor.js';
import { Database } from '../database/database.js';
import { violates } from '../database/sql-state.js';
import { OperationsService } from '../operations/operations.service.js';
import { specOf, WITH_SPEC } from '../reconfigure/container-spec.js';
import type { AgentLink } from './agent-link.js';
import { NodeSlices } from './node-slices.js';

/** After an attempt to bring a DRVM to its wanted state, the next waits this long. */
const AGAIN_AFTER_MS = 60_000;
/** A container must be missed by this many reports in a row before it is started again. */
const MISSED_REPORTS = 2;
const STOP_GRACE_MS = 5_000;
const UPDATE_TIMEOUT_MS = 10_000;

/**
 * Brings together what a node holds and what the ledger says that it should hold, at each report of the node:
 * - a container of a DRVM that has no slice here is deleted: it was deleted, or given up, while the node was away;
 * - a container that should be stopped is stopped;
 * - a container that runs under an older specification than it should gets the newer one as it runs;
 * - a container that should run and is missing or stopped is brought back by a start of its DRVM. One that failed is
 *   its agent's to start again.
 * A DRVM with an operation under way is left alone: the operation knows what it does.
 */
@Injectable()
export class Reconciliation {
  readonly #logger = new Logger('Reconciliation');
  readonly #underWay = new Set<string>();
  readonly #notBefore = new Map<string, number>();
  readonly #missed = new Map<string, number>();

  constructor(
    private readonly database: Database,
    private readonly operations: OperationsService,
    private readonly slices: NodeSlices,
  ) {}

  async compare(link: AgentLink, containers: readonly ContainerState[]): Promise<void> {
    const slices = await this.slices.of(link.nodeId);
    const held = new Map(containers.map((container) => [container.drvmId, container]));
    for (const drvmId of held.keys()) {
      if (!slices.some(({ drvm }) => drvm.id === drvmId)) await this.#deleteUnknown(link, drvmId);
    }
    for (const { drvm, index, specGeneration, certificate } of slices) {
      if (drvm.isBusy || drvm.state === 'creating') continue;
      const container = held.get(drvm.id);
      const state = container?.state ?? 'absent';
      const key = `${link.nodeId}/${drvm.id}`;
      const isMissing = drvm.wantedState === 'running' && (state === 'absent' || state === 'stopped');
      const missed = isMissing ? (this.#missed.get(key) ?? 0) + 1 : 0;
      if (missed === 0) this.#missed.delete(key);
      else this.#missed.set(key, missed);
      if (missed >= MISSED_REPORTS) await this.#startAgain(drvm.id, drvm.name, link.nodeName);
      else if (drvm.wantedState === 'stopped' && ['starting', 'running', 'degraded'].includes(state)) {
        await this.#once(`${key}/stop`, () =>
          link.call('drvm.stop', { drvmId: drvm.id, graceMs: STOP_GRACE_MS }),
        );
      } else if (
        container &&
        certificate !== null &&
        (state === 'running' || state === 'degraded') &&
        container.generation < Number(specGeneration)
      ) {
        await this.#once(`${key}/update`, () => this.#update(link, drvm.id, index));
      }
    }
  }

  /** What it lacks it missed while its node was away, or it was lent to it, or taken back, a moment ago. */
  async #update(link: AgentLink, drvmId: string, index: number): Promise<void> {
    const drvm = await this.database.unrestricted.drvm.findUnique({
      where: { id: drvmId },
      include: WITH_SPEC,
    });
    if (!drvm?.slices.some((slice) => slice.index === index && !slice.leaving)) return;
    try {
      await link.call('drvm.update', specOf(drvm, index), { timeoutMs: UPDATE_TIMEOUT_MS });
    } catch (error) {
      // Refused for what is in use there, or overtaken by a newer one: the next report tells.
      this.#logger.warn(`${drvm.name} on ${link.nodeName}: ${(error as Error).message}`);
    }
  }

  /** Looked at again after the report was made: the DRVM may have come into being meanwhile. */
  async #deleteUnknown(link: AgentLink, drvmId: string): Promise<void> {
    const isKnown = await this.database.unrestricted.slice.findUnique({
      where: { drvmId_nodeId: { drvmId, nodeId: link.nodeId } },
      select: { id: true },
    });
    if (isKnown) return;
    await this.#once(`${link.nodeId}/${drvmId}/delete`, async () => {
      this.#logger.log(
        `${link.nodeName} holds a container of a DRVM that is no more (${drvmId}); deleting it`,
      );
      await link.call('drvm.delete', { drvmId }, { timeoutMs: 60_000 });
    });
  }

  async #startAgain(drvmId: string, name: string, nodeName: string): Promise<void> {
    if ((this.#notBefore.get(drvmId) ?? 0) > Date.now()) return;
    const downSince = new Date(Date.now() - NODE_DOWN_AFTER_MS);
    const away = await this.database.unrestricted.slice.count({
      where: { drvmId, node: { OR: [{ lastSeenAt: null }, { lastSeenAt: { lt: downSince } }] } },
    });
    if (away > 0) return;
    this.#notBefore.set(drvmId, Date.now() + AGAIN_AFTER_MS);
    this.#logger.log(`the container of ${name} on ${nodeName} is missing; starting ${name} again`);
    try {
      await this.database.system(async (tx) => {
        const drvm = await tx.drvm.findUnique({ where: { id: drvmId } });
        if (drvm?.wantedState !== 'running') return;
        await this.operations.start(tx, {
          kind: 'drvm.start',
          subject: `drvm/${name}`,
          tenantId: drvm.tenantId,
          drvmId,
          params: {},
          actor: SYSTEM,
        });
      });
    } catch (error) {
      if (!violates(error, 'operation_one_per_drvm')) throw error;
    }
  }

  async #once(key: string, work: () => Promise<unknown>): Promise<void> {
    if (this.#underWay.has(key)) return;
    this.#underWay.add(key);
    try {
      await work();
    } finally {
      this.#underWay.delete(key);
    }
  }
}
