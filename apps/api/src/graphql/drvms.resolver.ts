import { DrvsError } from '@drvs/contracts';
import {
  Args,
  Context,
  ID,
  Int,
  Mutation,
  Parent,
  Query,
  ResolveField,
  Resolver,
  Subscription,
} from '@nestjs/graphql';
import type { Actor } from '../auth/actor.js';
import { DrvmsService } from '../drvms/drvms.service.js';
import { encodeCursor, MAX_PAGE } from '../http/paging.js';
import { OperationsService } from '../operations/operations.service.js';
import {
  type Connection,
  ConnectionArgs,
  connection,
  DrvmConnection,
  OperationConnection,
  pageQuery,
} from './connections.js';
import { newDrvm } from './create-drvm.js';
import { GraphReads, operationObject } from './graph-reads.service.js';
import { live } from './live.js';
import { CreateDrvmInput, Drvm, DrvmOperation, Operation, Plan, Process } from './object-types.js';
import { Changer, type GraphqlContext, Reader } from './session.js';

/** DRVMs and the operations on them. */
@Resolver(() => Drvm)
export class DrvmsResolver {
  constructor(
    private readonly reads: GraphReads,
    private readonly drvms: DrvmsService,
    private readonly work: OperationsService,
  ) {}

  @Query(() => DrvmConnection, { name: 'drvms' })
  async drvmList(@Reader() actor: Actor, @Args() args: ConnectionArgs): Promise<Connection<Drvm>> {
    return connection(
      await this.reads.drvmList(actor, pageQuery(args)),
      ({ id }) => encodeCursor(id),
      (drvm) => drvm,
    );
  }

  @Query(() => Drvm, { nullable: true })
  async drvm(
    @Reader() actor: Actor,
    @Args('id', { type: () => ID, nullable: true }) id?: string,
    @Args('name', { nullable: true }) name?: string,
  ): Promise<Drvm | null> {
    const reference = id ?? name;
    if (reference) return this.reads.drvm(actor, reference);
    throw new DrvsError('InvalidInput', 'a DRVM is named by its id or its name', { field: 'id' });
  }

  @ResolveField(() => [Process])
  processes(@Reader() actor: Actor, @Parent() drvm: Drvm): Promise<Process[]> {
    return this.reads.processesOf(actor, drvm);
  }

  @ResolveField(() => [Operation], { description: 'The newest first' })
  async operations(
    @Reader() actor: Actor,
    @Parent() { id }: Drvm,
    @Args('first', { type: () => Int, nullable: true, defaultValue: 20 }) first: number,
  ): Promise<Operation[]> {
    const limit = Math.min(Math.max(first, 1), MAX_PAGE);
    return (await this.work.list(actor, { drvm: id, limit })).items.map(operationObject);
  }

  @Query(() => OperationConnection, { name: 'operations' })
  async operationList(
    @Reader() actor: Actor,
    @Args() args: ConnectionArgs,
    @Args('drvm', { type: () => ID, nullable: true }) drvm?: string,
  ): Promise<Connection<Operation>> {
    const page = await this.work.list(actor, { ...pageQuery(args), drvm: drvm ?? undefined });
    return connection(page, ({ id }) => encodeCursor(id), operationObject);
  }

  @Query(() => Operation, { nullable: true, name: 'operation' })
  async oneOperation(
    @Reader() actor: Actor,
    @Args('id', { type: () => ID }) id: string,
  ): Promise<Operation | null> {
    try {
      return operationObject(await this.work.show(actor, id));
    } catch (error) {
      if (error instanceof DrvsError && error.code === 'NotFound') return null;
      throw error;
    }
  }

  @Mutation(() => DrvmOperation)
  async createDrvm(@Changer() actor: Actor, @Args('input') input: CreateDrvmInput): Promise<DrvmOperation> {
    const { drvm, operation } = await this.drvms.create(actor, newDrvm(input));
    return { drvm: await this.reads.requireDrvm(actor, drvm.id), operation: operationObject(operation) };
  }

  @Mutation(() => Plan, { description: 'Where it would be placed now; nothing is changed' })
  planDrvm(@Changer() actor: Actor, @Args('input') input: CreateDrvmInput): Promise<Plan> {
    return this.drvms.plan(actor, newDrvm(input));
  }

  @Mutation(() => Operation)
  async startDrvm(@Changer() actor: Actor, @Args('id', { type: () => ID }) id: string): Promise<Operation> {
    return operationObject(await this.drvms.start(actor, id, null));
  }

  @Mutation(() => Operation)
  async stopDrvm(@Changer() actor: Actor, @Args('id', { type: () => ID }) id: string): Promise<Operation> {
    return operationObject(await this.drvms.stop(actor, id, null));
  }

  @Mutation(() => Operation)
  async deleteDrvm(@Changer() actor: Actor, @Args('id', { type: () => ID }) id: string): Promise<Operation> {
    return operationObject(await this.drvms.remove(actor, id, null));
  }

  @Mutation(() => Operation)
  async cancelOperation(
    @Changer() actor: Actor,
    @Args('id', { type: () => ID }) id: string,
  ): Promise<Operation> {
    return operationObject(await this.work.cancel(actor, id));
  }

  @Mutation(() => Operation)
  async retryOperation(
    @Changer() actor: Actor,
    @Args('id', { type: () => ID }) id: string,
  ): Promise<Operation> {
    return operationObject(await this.work.retry(actor, id));
  }

  @Subscription(() => Operation, {
    name: 'operation',
    resolve: (operation: Operation) => operation,
    description: 'Every change of it, until it has ended',
  })
  operationLive(
    @Context() context: GraphqlContext,
    @Args('id', { type: () => ID }) id: string,
  ): AsyncIterableIterator<Operation> {
    const { work } = this;
    return live(context, async function* (actor, signal) {
      for await (const view of work.follow(actor, id, signal)) yield operationObject(view);
    });
  }
}
