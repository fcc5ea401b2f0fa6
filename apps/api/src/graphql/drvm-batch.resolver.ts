import { Args, Mutation, Parent, ResolveField, Resolver } from '@nestjs/graphql';
import type { Actor } from '../auth/actor.js';
import { NewDrvms } from '../drvms/drvm-batch.js';
import { DrvmsService } from '../drvms/drvms.service.js';
import { OperationsService } from '../operations/operations.service.js';
import { requestParts } from './create-drvm.js';
import { GraphReads, operationObject } from './graph-reads.service.js';
import { BatchDrvmInput, CreatedDrvm } from './inventory-types.js';
import { Drvm, Operation } from './object-types.js';
import { withoutNulls } from './people.resolver.js';
import { Changer, Reader } from './session.js';

/** Many DRVMs at once; what is asked of each is read only where somebody asks for it. */
@Resolver(() => CreatedDrvm)
export class DrvmBatchResolver {
  constructor(
    private readonly drvms: DrvmsService,
    private readonly reads: GraphReads,
    private readonly work: OperationsService,
  ) {}

  @Mutation(() => [CreatedDrvm], {
    description: 'Several of one tenant, all or none, in their order; each has an operation of its own',
  })
  async createDrvms(
    @Changer() actor: Actor,
    @Args('drvms', { type: () => [BatchDrvmInput] }) drvms: BatchDrvmInput[],
    @Args('tenant', { type: () => String, nullable: true, description: "Without it the actor's own" })
    tenant?: string,
  ): Promise<CreatedDrvm[]> {
    const request = NewDrvms.parse(withoutNulls({ tenant, drvms: drvms.map(requestParts) }));
    const made = await this.drvms.createMany(actor, request);
    return made.map(({ operationId, drvm }) => ({ operationId, drvmId: drvm.id, name: drvm.name }));
  }

  @ResolveField(() => Drvm)
  drvm(@Reader() actor: Actor, @Parent() { drvmId }: CreatedDrvm): Promise<Drvm> {
    return this.reads.requireDrvm(actor, drvmId);
  }

  @ResolveField(() => Operation)
  async operation(@Reader() actor: Actor, @Parent() { operationId }: CreatedDrvm): Promise<Operation> {
    return operationObject(await this.work.show(actor, operationId));
  }
}
