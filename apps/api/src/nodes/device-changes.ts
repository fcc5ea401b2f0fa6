import { Injectable, Logger } from '@nestjs/common';
import { AgentLinks } from '../agents/agent-links.js';
import { Database } from '../database/database.js';
import { specOf, WITH_SPEC } from '../reconfigure/container-spec.js';

/** An agent that does not take it in this time gets it with its next report. */
const UPDATE_TIMEOUT_MS = 3_000;

/**
 * Tells the container of a DRVM which devices of its node it has. The ledger has said so before: a container that cannot
 * be told now is told when its node reports (Reconciliation), and one that does not run, when it starts.
 */
@Injectable()
export class DeviceChanges {
  readonly #logger = new Logger('DeviceChanges');

  constructor(
    private readonly database: Database,
    private readonly links: AgentLinks,
  ) {}

  async push(drvmId: string, nodeId: string): Promise<void> {
    const link = this.links.get(nodeId);
    if (!link) return;
    const drvm = await this.database.unrestricted.drvm.findUnique({
      where: { id: drvmId },
      include: WITH_SPEC,
    });
    const slice = drvm?.slices.find((each) => each.nodeId === nodeId && !each.leaving);
    if (!drvm || !slice?.certificate || drvm.wantedState === 'stopped' || slice.containerState === 'absent')
      return;
    await link
      .call('drvm.update', specOf(drvm, slice.index), { timeoutMs: UPDATE_TIMEOUT_MS })
      .catch((error: unknown) =>
        this.#logger.debug(`${drvm.name} on ${link.nodeName}: ${(error as Error).message}`),
      );
  }
}
