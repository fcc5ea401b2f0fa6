import { DrvsError, RESTORE_MODES } from '@drvs/contracts';
import { Args, ID, Int, Mutation, Query, Resolver } from '@nestjs/graphql';
import type { Actor } from '../auth/actor.js';
import { encodeCursor } from '../http/paging.js';
import { ContinueRequest, MaintenanceRequest } from '../plans/maintenance-request.js';
import { NodeMaintenance } from '../plans/node-maintenance.service.js';
import { PlanRequest } from '../plans/plan-request.js';
import { PlansService } from '../plans/plans.service.js';
import {
  ClusterPlanConnection,
  type Connection,
  ConnectionArgs,
  connection,
  pageQuery,
} from './connections.js';
import { GraphReads, operationObject } from './graph-reads.service.js';
import { ClusterPlan, Node, Operation } from './object-types.js';
import { withoutNulls } from './people.resolver.js';
import { Changer, Reader } from './session.js';

/** Plans of the running cluster, and nodes that are drained by them. */
@Resolver(() => ClusterPlan)
export class PlansResolver {
  constructor(
    private readonly plans: PlansService,
    private readonly maintenance: NodeMaintenance,
    private readonly reads: GraphReads,
  ) {}

  @Query(() => ClusterPlanConnection, { name: 'plans', description: 'The newest first' })
  async planList(@Reader() actor: Actor, @Args() args: ConnectionArgs): Promise<Connection<ClusterPlan>> {
    return connection(
      await this.plans.list(actor, pageQuery(args)),
      ({ id }) => encodeCursor(id),
      (plan) => plan,
    );
  }

  @Query(() => ClusterPlan, { nullable: true })
  async plan(
    @Reader() actor: Actor,
    @Args('id', { type: () => ID }) id: string,
  ): Promise<ClusterPlan | null> {
    try {
      return await this.plans.show(actor, id);
    } catch (error) {
      if (error instanceof DrvsError && error.code === 'NotFound') return null;
      throw error;
    }
  }

  @Mutation(() => ClusterPlan, {
    description:
      'balance, consolidate, reallocate, power; drain, restore (with a mode) or evacuate with a node; nothing is changed',
  })
  makePlan(
    @Changer() actor: Actor,
    @Args('kind') kind: string,
    @Args('node', { type: () => String, nullable: true }) node?: string,
    @Args('mode', { type: () => String, nullable: true }) mode?: string,
    @Args('remove', { type: () => Boolean, nullable: true }) remove?: boolean,
  ): Promise<ClusterPlan> {
    const request = PlanRequest.safeParse(withoutNulls({ kind, node, mode, remove }));
    if (request.success) return this.plans.make(actor, request.data);
    throw new DrvsError('InvalidInput', `there is no plan of the kind ${kind} with these arguments`, {
      field: 'kind',
      hint: 'balance, consolidate, reallocate, power; drain, restore, evacuate with a node.',
    });
  }

  @Mutation(() => ClusterPlan, { description: 'The way back from what was carried out of a plan' })
  undoPlan(@Changer() actor: Actor, @Args('id', { type: () => ID }) id: string): Promise<ClusterPlan> {
    return this.plans.undo(actor, id);
  }

  @Mutation(() => Operation)
  async applyPlan(@Changer() actor: Actor, @Args('id', { type: () => ID }) id: string): Promise<Operation> {
    return operationObject(await this.plans.apply(actor, id));
  }

  @Mutation(() => Operation, {
    description: 'Closes it to what is new and moves everything on it elsewhere',
  })
  async drainNode(@Changer() actor: Actor, @Args('name') name: string): Promise<Operation> {
    return operationObject(await this.plans.drain(actor, name));
  }

  @Mutation(() => Operation, { description: 'Drains it, and removes it for good once it is empty' })
  async retireNode(@Changer() actor: Actor, @Args('name') name: string): Promise<Operation> {
    return operationObject(await this.plans.drain(actor, name, true));
  }

  @Mutation(() => Node, { nullable: true, description: 'Opens it at once; what left it stays where it is' })
  async restoreNode(@Changer() actor: Actor, @Args('name') name: string): Promise<Node | null> {
    await this.plans.open(actor, name);
    return this.reads.node(actor, name);
  }

  @Mutation(() => Operation, {
    description: 'Opens it again; return: what a drain moved off it comes back; stay; rebalance',
  })
  async restoreNodeTo(
    @Changer() actor: Actor,
    @Args('name') name: string,
    @Args('mode', { defaultValue: 'return' }) mode: string,
  ): Promise<Operation> {
    const known = RESTORE_MODES.find((candidate) => candidate === mode);
    if (known) return operationObject(await this.plans.restore(actor, name, known));
    throw new DrvsError('InvalidInput', `there is no mode ${mode} of a restore`, {
      field: 'mode',
      hint: `One of ${RESTORE_MODES.join(', ')}.`,
    });
  }

  @Mutation(() => Operation, {
    description:
      'Drains nodes, has something done to them, and restores them; so many at a time. work: wait, power-cycle or none',
  })
  async maintainNodes(
    @Changer() actor: Actor,
    @Args('nodes', { type: () => [String] }) nodes: string[],
    @Args('atOnce', { type: () => Int, nullable: true }) atOnce?: number,
    @Args('work', { type: () => String, nullable: true }) work?: string,
    @Args('withinSeconds', { type: () => Int, nullable: true }) withinSeconds?: number,
    @Args('mode', { type: () => String, nullable: true }) mode?: string,
  ): Promise<Operation> {
    const kind = work ?? (withinSeconds == null ? undefined : 'wait');
    const given = { nodes, atOnce, mode, work: kind && withoutNulls({ kind, withinSeconds }) };
    const request = MaintenanceRequest.parse(withoutNulls(given));
    return operationObject(await this.maintenance.begin(actor, request));
  }

  @Mutation(() => Operation, {
    description: 'Says that the work on these nodes, or on all that are awaited, is done; or why it failed',
  })
  async continueOperation(
    @Changer() actor: Actor,
    @Args('id', { type: () => ID }) id: string,
    @Args('nodes', { type: () => [String], nullable: true }) nodes?: string[],
    @Args('failure', { type: () => String, nullable: true }) failure?: string,
  ): Promise<Operation> {
    const request = ContinueRequest.parse(withoutNulls({ nodes, failure }));
    return operationObject(await this.maintenance.proceed(actor, id, request));
  }
}
