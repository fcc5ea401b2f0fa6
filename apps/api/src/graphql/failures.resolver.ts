import type { NodeFailureView } from '@drvs/contracts';
import { Args, Mutation, Query, Resolver } from '@nestjs/graphql';
import type { Actor } from '../auth/actor.js';
import { FailureSettings, FailureSettingsInput } from '../failure/failure-settings.js';
import { FailuresService } from '../failure/failures.service.js';
import { fromZod } from '../http/problem.filter.js';
import { NodeFailure } from './power-types.js';
import { Changer, Reader } from './session.js';

/** Nodes that fell silent. */
@Resolver(() => NodeFailure)
export class FailuresResolver {
  constructor(
    private readonly failures: FailuresService,
    private readonly settings: FailureSettings,
  ) {}

  @Query(() => [NodeFailure], {
    name: 'failures',
    description: 'Nodes that are not well, or came back lately',
  })
  list(@Reader() actor: Actor): Promise<NodeFailureView[]> {
    return this.failures.list(actor);
  }

  @Query(() => NodeFailure)
  nodeFailure(@Reader() actor: Actor, @Args('node') node: string): Promise<NodeFailureView> {
    return this.failures.show(actor, node);
  }

  @Query(() => String, { description: 'off, manual or automatic' })
  async failureMode(@Reader() actor: Actor): Promise<string> {
    return (await this.settings.show(actor)).mode;
  }

  @Mutation(() => String)
  async setFailureMode(@Changer() actor: Actor, @Args('mode') mode: string): Promise<string> {
    const request = FailureSettingsInput.safeParse({ mode });
    if (!request.success) throw fromZod(request.error);
    return (await this.settings.set(actor, request.data)).mode;
  }

  @Mutation(() => NodeFailure, {
    description: 'Cuts the power of a silent node, or with confirmed takes your word that it is off',
  })
  fenceNode(
    @Changer() actor: Actor,
    @Args('node') node: string,
    @Args('confirmed', { type: () => Boolean, defaultValue: false }) confirmed: boolean,
  ): Promise<NodeFailureView> {
    return this.failures.fence(actor, node, { confirmed });
  }

  @Mutation(() => NodeFailure, { description: 'Lets a node in again that is held out or quarantined' })
  releaseNode(@Changer() actor: Actor, @Args('node') node: string): Promise<NodeFailureView> {
    return this.failures.release(actor, node);
  }
}
