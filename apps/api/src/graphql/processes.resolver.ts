import { StartProcess } from '@drvs/contracts';
import { Args, Context, Float, ID, Int, Mutation, Query, Resolver, Subscription } from '@nestjs/graphql';
import type { Actor } from '../auth/actor.js';
import { FilesService } from '../files/files.service.js';
import { ProcessesService } from '../processes/processes.service.js';
import { changes } from './cluster.resolver.js';
import { GraphReads, operationObject } from './graph-reads.service.js';
import { live } from './live.js';
import { FileStat, Operation, Output, OutputChunk, Process, RunProgramInput } from './object-types.js';
import { outputChunks, textOf } from './output-text.js';
import { withoutNulls } from './people.resolver.js';
import { Changer, type GraphqlContext, Reader } from './session.js';

/** The processes, the output and the files of a DRVM. */
@Resolver(() => Process)
export class ProcessesResolver {
  constructor(
    private readonly reads: GraphReads,
    private readonly processes: ProcessesService,
    private readonly fileService: FilesService,
  ) {}

  @Query(() => Output, { description: 'What is kept of the output of a process, from a byte offset' })
  output(
    @Reader() actor: Actor,
    @Args('drvm', { type: () => ID }) drvm: string,
    @Args('pid', { type: () => Int }) pid: number,
    @Args('offset', { type: () => Float, nullable: true, defaultValue: 0 }) offset: number,
  ): Promise<Output> {
    return textOf(this.processes, actor, drvm, pid, offset);
  }

  @Query(() => [FileStat])
  files(
    @Reader() actor: Actor,
    @Args('drvm', { type: () => ID }) drvm: string,
    @Args('path') path: string,
  ): Promise<FileStat[]> {
    return this.fileService.list(actor, drvm, path);
  }

  @Mutation(() => Process)
  runProgram(
    @Changer() actor: Actor,
    @Args('drvm', { type: () => ID }) drvm: string,
    @Args('input') { env, ...rest }: RunProgramInput,
  ): Promise<Process> {
    const variables = Object.fromEntries((env ?? []).map(({ name, value }) => [name, value]));
    const request = StartProcess.parse({ ...withoutNulls(rest), env: variables });
    return this.processes.startAndShow(actor, drvm, request);
  }

  @Mutation(() => Boolean)
  async killProcess(
    @Changer() actor: Actor,
    @Args('drvm', { type: () => ID }) drvm: string,
    @Args('pid', { type: () => Int }) pid: number,
    @Args('signal', { type: () => String, nullable: true, defaultValue: 'SIGTERM' }) signal: string,
  ): Promise<boolean> {
    await this.processes.kill(actor, drvm, pid, signal ?? 'SIGTERM');
    return true;
  }

  @Mutation(() => Operation)
  async migrateProcess(
    @Changer() actor: Actor,
    @Args('drvm', { type: () => ID }) drvm: string,
    @Args('pid', { type: () => Int }) pid: number,
    @Args('to') to: string,
  ): Promise<Operation> {
    return operationObject(await this.processes.migrate(actor, drvm, pid, to));
  }

  @Subscription(() => [Process], {
    name: 'processes',
    resolve: (processes: Process[]) => processes,
    description: 'All processes of a DRVM, once a second at most, when something of them has changed',
  })
  processesLive(
    @Context() context: GraphqlContext,
    @Args('drvm', { type: () => ID }) drvm: string,
  ): AsyncIterableIterator<Process[]> {
    const look = async (actor: Actor) =>
      this.reads.processesOf(actor, await this.reads.requireDrvm(actor, drvm));
    return live(context, (actor, signal) => changes(() => look(actor), signal));
  }

  @Subscription(() => OutputChunk, {
    name: 'output',
    resolve: (chunk: OutputChunk) => chunk,
    description: 'The output of a process as it comes, until it has ended',
  })
  outputLive(
    @Context() context: GraphqlContext,
    @Args('drvm', { type: () => ID }) drvm: string,
    @Args('pid', { type: () => Int }) pid: number,
    @Args('offset', { type: () => Float, nullable: true, defaultValue: 0 }) offset: number,
  ): AsyncIterableIterator<OutputChunk> {
    return live(context, (actor, signal) =>
      outputChunks(this.processes, actor, drvm, pid, offset ?? 0, signal),
    );
  }
}
