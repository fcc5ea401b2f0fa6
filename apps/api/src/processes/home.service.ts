import { Injectable } from '@nestjs/common';
import { type ContainerMethod, DrvsError, type RpcCallOptions } from '@drvs/contracts';
import type { ContainerParams, ContainerResult, Reply } from '../agents/agent-link.js';
import { AgentsService } from '../agents/agents.service.js';
import type { Actor } from '../auth/actor.js';
import { Database } from '../database/database.js';

export interface FoundDrvm {
  id: string;
  name: string;
  tenantId: string;
  state: string;
  wantedState: string;
  slices: { index: number; diskGiB: number; node: { id: string; name: string } }[];
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

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
  async find(actor: Actor, reference: string): Promise<FoundDrvm> {
    const [tenant, name] = reference.includes('~') ? reference.split('~', 2) : [undefined, reference];
    const where = UUID.test(reference)
      ? { id: reference }
      : { name, tenant: tenant === undefined ? undefined : { name: tenant } };
    const found = await this.database.as(actor, (tx) =>
      tx.drvm.findMany({
        where,
        take: 2,
        select: {
          id: true,
          name: true,
          tenantId: true,
          state: true,
          wantedState: true,
          slices: {
            orderBy: { index: 'asc' },
            select: { index: true, diskGiB: true, node: { select: { id: true, name: true } } },
          },
        },
      }),
    );
    if (found.length > 1) {
      throw new DrvsError('InvalidInput', `Several departments have a DRVM named ${name}`, {
        hint: `Say which: DEPARTMENT~${name}.`,
        field: 'drvm',
      });
    }
    if (found[0]) return found[0];
    throw new DrvsError('NotFound', `There is no DRVM ${reference.slice(0, 130)}`, {
      hint: 'See `drvs drvm list`.',
    });
  }

  /** @throws DrvsError StateConflict for a DRVM that is not up, and all that `containerCall` throws */
  async call<M extends ContainerMethod>(
    drvm: FoundDrvm,
    method: M,
    params: ContainerParams<M>,
    options: RpcCallOptions = {},
  ): Promise<Reply<ContainerResult<M>>> {
    requireUp(drvm);
    return this.agents.containerCall(drvm.id, 0, method, params, options);
  }
}

function requireUp({ name, state }: FoundDrvm): void {
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
