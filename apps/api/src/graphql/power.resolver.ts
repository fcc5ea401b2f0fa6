import { DrvsError, type NodePowerView } from '@drvs/contracts';
import { Args, Int, Mutation, Query, Resolver } from '@nestjs/graphql';
import type { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { EnergyService } from '../energy/energy.service.js';
import { fromZod } from '../http/problem.filter.js';
import { PowerAdmin } from '../power/power-admin.service.js';
import { PowerChange, PowerSwitch } from '../power/power-requests.js';
import { operationObject } from './graph-reads.service.js';
import { Operation } from './object-types.js';
import { withoutNulls } from './people.resolver.js';
import { EnergyRecommendations, EnergyReport, NodePower, PowerReading } from './power-types.js';
import { Changer, Reader } from './session.js';

/** Power and energy of nodes. */
@Resolver(() => NodePower)
export class PowerResolver {
  constructor(
    private readonly power: PowerAdmin,
    private readonly energyService: EnergyService,
  ) {}

  @Query(() => [NodePower], { name: 'power' })
  async powerOfAll(@Reader() actor: Actor): Promise<NodePower[]> {
    return (await this.power.list(actor)).map(powerObject);
  }

  @Query(() => NodePower)
  async nodePower(@Reader() actor: Actor, @Args('node') node: string): Promise<NodePower> {
    return powerObject(await this.power.show(actor, node));
  }

  @Query(() => EnergyReport)
  energy(@Reader() actor: Actor): Promise<EnergyReport> {
    return this.energyService.report(actor);
  }

  @Query(() => EnergyRecommendations, { description: 'It looks at the running cluster first, for a second' })
  energyRecommendations(@Reader() actor: Actor): Promise<EnergyRecommendations> {
    return this.energyService.recommendations(actor);
  }

  @Mutation(() => NodePower, {
    description: 'settings, secret and model are JSON, as REST takes them; secrets are never shown again',
  })
  async setNodePower(
    @Changer() actor: Actor,
    @Args('node') node: string,
    @Args('driver', { type: () => String, nullable: true }) driver?: string,
    @Args('settings', { type: () => String, nullable: true }) settings?: string,
    @Args('secret', { type: () => String, nullable: true }) secret?: string,
    @Args('automatic', { type: () => Boolean, nullable: true }) automatic?: boolean,
    @Args('model', { type: () => String, nullable: true }) model?: string,
    @Args('generation', { type: () => Int, nullable: true }) generation?: number,
  ): Promise<NodePower> {
    const change = withoutNulls({
      driver,
      settings: json(settings, 'settings'),
      secret: json(secret, 'secret'),
      automatic,
      model: json(model, 'model'),
    });
    return powerObject(await this.power.set(actor, node, parsed(PowerChange, change), generation ?? null));
  }

  @Mutation(() => PowerReading, { description: 'Reads it by its driver; nothing is switched' })
  testNodePower(@Changer() actor: Actor, @Args('node') node: string): Promise<PowerReading> {
    return this.power.test(actor, node);
  }

  @Mutation(() => Operation, {
    description:
      'on, or off for a drained node; with force, which is the name again, also for one that is not',
  })
  async switchNodePower(
    @Changer() actor: Actor,
    @Args('node') node: string,
    @Args('power') power: string,
    @Args('force', { type: () => String, nullable: true }) force?: string,
    @Args('open', { type: () => Boolean, nullable: true }) open?: boolean,
  ): Promise<Operation> {
    const request = parsed(PowerSwitch, withoutNulls({ power, force, open }));
    return operationObject(await this.power.switch(actor, node, request));
  }
}

const powerObject = ({ settings, model, ...view }: NodePowerView): NodePower => ({
  ...view,
  settings: JSON.stringify(settings),
  idleWatts: model.idleWatts,
  fullWatts: model.fullWatts,
});

function parsed<T extends z.ZodType>(schema: T, value: unknown): z.infer<T> {
  const outcome = schema.safeParse(value);
  if (outcome.success) return outcome.data;
  throw fromZod(outcome.error);
}

function json(text: string | null | undefined, field: string): unknown {
  if (text == null) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new DrvsError('InvalidInput', `${field} is not JSON`, { field });
  }
}
