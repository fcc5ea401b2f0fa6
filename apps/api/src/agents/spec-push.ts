import { Injectable, Logger } from '@nestjs/common';
import { Database } from '../database/database.js';
import { specOf, WITH_SPEC } from '../reconfigure/container-spec.js';
import { AgentLinks } from './agent-links.js';

/** An agent that does not take it in this time gets it with its next report. */
const UPDATE_TIMEOUT_MS = 3_000;

/**
 * Gives the container of a DRVM on a node its specification as the ledger has it now, by whichever process holds the
 * channel of the node. Who cannot be reached, or refuses, gets it with the next report (Reconciliation); one that does
 * not run, when it starts.
 */
@Injectable()
export class SpecPush {
  readonly #logger = new Logger('SpecPush');

  constructor(
    private readonly database: Database,
    private readonly links: AgentLinks,
  ) {}

  /** Does not throw for an agent that is away or refuses. */
  async push(drvmId: string, nodeId: string): Promise<void> {
    const agent = await this.links.reach(nodeId).catch(() => null);
    if (!agent) return;
    const drvm = await this.database.unrestricted.drvm.findUnique({
      where: { id: drvmId },
      include: WITH_SPEC,
    });
    const slice = drvm?.slices.find((each) => each.nodeId === nodeId && !each.leaving);
    if (!drvm || !slice?.certificate || drvm.wantedState === 'stopped' || slice.containerState === 'absent')
      return;
    await agent
      .call('drvm.update', specOf(drvm, slice.index), { timeoutMs: UPDATE_TIMEOUT_MS })
      .catch((error: unknown) =>
        this.#logger.debug(`${drvm.name} on ${slice.node.name}: ${(error as Error).message}`),
      );
  }
}
