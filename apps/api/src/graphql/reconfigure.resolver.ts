import type { LoanView } from '@drvs/contracts';
import { Args, ID, Int, Mutation, Query, Resolver } from '@nestjs/graphql';
import type { Actor } from '../auth/actor.js';
import { LoansService } from '../reconfigure/loans.service.js';
import { ResizeService } from '../reconfigure/resize.service.js';
import { ResizeDrvm } from '../reconfigure/resize-request.js';
import { operationObject } from './graph-reads.service.js';
import { Loan, Operation, Plan, ResizeDrvmInput } from './object-types.js';
import { withoutNulls } from './people.resolver.js';
import { Changer, Reader } from './session.js';

/** Changes of running DRVMs, and what they lend to each other. */
@Resolver()
export class ReconfigureResolver {
  constructor(
    private readonly resizes: ResizeService,
    private readonly loans: LoansService,
  ) {}

  @Mutation(() => Operation, {
    description: 'Make it larger or smaller, or bring it to other nodes, as it runs',
  })
  async resizeDrvm(
    @Changer() actor: Actor,
    @Args('id', { type: () => ID }) id: string,
    @Args('input') input: ResizeDrvmInput,
    @Args('generation', { type: () => Int, nullable: true }) generation?: number,
  ): Promise<Operation> {
    return operationObject(await this.resizes.resize(actor, id, resizeOf(input), generation ?? null));
  }

  @Mutation(() => Plan, { description: 'What a resize would come to now; nothing is changed' })
  planResize(
    @Changer() actor: Actor,
    @Args('id', { type: () => ID }) id: string,
    @Args('input') input: ResizeDrvmInput,
  ): Promise<Plan> {
    return this.resizes.plan(actor, id, resizeOf(input), null);
  }

  @Query(() => [Loan], {
    name: 'loans',
    description: 'What is lent and borrowed of the CPU of the nodes now',
  })
  loanList(
    @Reader() actor: Actor,
    @Args('node', { type: () => String, nullable: true }) node?: string,
    @Args('drvm', { type: () => String, nullable: true }) drvm?: string,
  ): Promise<LoanView[]> {
    return this.loans.list(actor, { node: node ?? undefined, drvm: drvm ?? undefined });
  }
}

function resizeOf({ nodeCount, addNodes, removeNodes, ceiling, ...rest }: ResizeDrvmInput): ResizeDrvm {
  const named = addNodes || removeNodes ? { add: addNodes ?? [], remove: removeNodes ?? [] } : undefined;
  return ResizeDrvm.parse(
    withoutNulls({
      ...rest,
      nodes: named ?? nodeCount,
      ceiling: ceiling ? withoutNulls({ ...ceiling }) : undefined,
    }),
  );
}
