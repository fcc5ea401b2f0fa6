import { type ContainerMethod, DrvsError, type RpcCallOptions } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import type { ContainerParams, ContainerResult, Reply } from '../agents/agent-link.js';
import { AgentsService } from '../agents/agents.service.js';
import type { Actor } from '../auth/actor.js';
import { Database } from '../database/database.js';
import { type DrvmRow, findDrvm } from '../drvms/drvm-view.js';

/** Calls about a whole DRVM (its processes, its files) go to its home container. */
@Injectable()
export class HomeService {
  constructor(
    private readonly database: Database,
    private readonly agents: AgentsService,
  ) {}

  /**
   * @param reference a DRVM's id, its name, or `tenant~name`
   * @throws DrvsError NotFound, also for what belongs to another tenant; InvalidInput when several bear the name
   */
  async find(actor: Actor, reference: string): Promise<DrvmRow> {
    return this.database.as(actor, (tx) => findDrvm(tx, reference));
  }

  /** @throws DrvsError StateConflict for a DRVM that is not up, and all that `containerCall` throws */
  async call<M extends ContainerMethod>(
    drvm: DrvmRow,
    method: M,
    params: ContainerParams<M>,
    options: RpcCallOptions = {},
  ): Promise<Reply<ContainerResult<M>>> {
    requireUp(drvm);
    return this.agents.containerCall(drvm.id, drvm.homeIndex, method, params, options);
  }
}

function requireUp({ name, state }: DrvmRow): void {
  if (state === 'stopped') {
    throw new DrvsError('StateConflict', `The DRVM ${name} is stopped`, {
      hint: `Start it first: drvs drvm start ${name}`,
    });
  }
  if (state === 'creating') {
    throw new DrvsError('StateConflict', `The DRVM ${name} is still being created`, {
      hint: 'Wait for its creation to end: drvs op list',
    });
  }
}
