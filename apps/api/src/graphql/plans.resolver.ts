import { DrvsError } from '@drvs/contracts';
import { Args, ID, Mutation, Query, Resolver } from '@nestjs/graphql';
import type { Actor } from '../auth/actor.js';
import { encodeCursor } from '../http/paging.js';
import { PlanRequest, PlansService } from '../plans/plans.service.js';
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

  @Mutation(() => ClusterPlan, { description: 'balance, or drain with a node; nothing is moved' })
  makePlan(
    @Changer() actor: Actor,
    @Args('kind') kind: string,
    @Args('node', { type: () => String, nullable: true }) node?: string,
  ): Promise<ClusterPlan> {
    const request = PlanRequest.safeParse(withoutNulls({ kind, node }));
    if (request.success) return this.plans.make(actor, request.data);
    throw new DrvsError('InvalidInput', 'a plan is of the kind balance, or of the kind drain with a node', {
      field: 'kind',
    });
  }

  @Mutation(() => Operation)
  async applyPlan(@Changer() actor: Actor, @Args('id', { type: () => ID }) id: string): Promise<Operation> {
    return operationObject(await this.plans.apply(actor, id));
  }

  @Mutation(() => Operation, {
    description: 'Closes it to what is new and moves the processes on it elsewhere',
  })
  async drainNode(@Changer() actor: Actor, @Args('name') name: string): Promise<Operation> {
    return operationObject(await this.plans.drain(actor, name));
  }

  @Mutation(() => Node, { nullable: true })
  async restoreNode(@Changer() actor: Actor, @Args('name') name: string): Promise<Node | null> {
    await this.plans.restore(actor, name);
    return this.reads.node(actor, name);
  }
}
