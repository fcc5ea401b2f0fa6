import type { NodeRulesView } from '@drvs/contracts';
import { Args, ID, Int, Mutation, Query, Resolver } from '@nestjs/graphql';
import type { Actor } from '../auth/actor.js';
import { DevicesService } from '../nodes/devices.service.js';
import { InventoryService } from '../nodes/inventory.service.js';
import { DeviceChange, InventoryChange, TaintChange, TraitChange } from '../nodes/inventory-request.js';
import { InventoryInput, NodeInventory, NodeRules, ProvidedDevice, TopologySite } from './inventory-types.js';
import { withoutNulls } from './people.resolver.js';
import { Changer, Reader } from './session.js';

const generationArgument = {
  type: () => Int,
  nullable: true,
  description: 'That was read; refused when it is another',
};
const words = { type: () => [String], defaultValue: [] as string[] };

/** What nodes offer, by which rules, and their devices. */
@Resolver()
export class InventoryResolver {
  constructor(
    private readonly inventory: InventoryService,
    private readonly devices: DevicesService,
  ) {}

  @Query(() => NodeInventory)
  nodeInventory(@Reader() actor: Actor, @Args('node') node: string): Promise<NodeInventory> {
    return this.inventory.show(actor, node);
  }

  @Query(() => NodeRules)
  async nodeRules(@Reader() actor: Actor, @Args('node') node: string): Promise<NodeRules> {
    return rulesObject(await this.inventory.rules(actor, node));
  }

  @Query(() => [TopologySite])
  async topology(@Reader() actor: Actor): Promise<TopologySite[]> {
    return (await this.inventory.topology(actor)).sites;
  }

  @Query(() => [ProvidedDevice], { name: 'devices' })
  deviceList(
    @Reader() actor: Actor,
    @Args('node', { type: () => String, nullable: true }) node?: string,
    @Args('drvm', { type: () => ID, nullable: true }) drvm?: string,
    @Args('type', { type: () => String, nullable: true }) type?: string,
  ): Promise<ProvidedDevice[]> {
    return this.devices.list(actor, withoutNulls({ node, drvm, type }));
  }

  @Mutation(() => NodeInventory)
  setNodeInventory(
    @Changer() actor: Actor,
    @Args('node') node: string,
    @Args('classes', { type: () => [InventoryInput] }) classes: InventoryInput[],
    @Args('generation', generationArgument) generation: number | null,
  ): Promise<NodeInventory> {
    const change = Object.fromEntries(classes.map(({ class: name, ...rest }) => [name, withoutNulls(rest)]));
    return this.inventory.set(actor, node, InventoryChange.parse(change), generation ?? null);
  }

  @Mutation(() => NodeRules)
  async setNodeTraits(
    @Changer() actor: Actor,
    @Args('node') node: string,
    @Args('add', words) add: string[],
    @Args('remove', words) remove: string[],
    @Args('generation', generationArgument) generation: number | null,
  ): Promise<NodeRules> {
    const change = TraitChange.parse({ add, remove });
    return rulesObject(await this.inventory.setTraits(actor, node, change, generation ?? null));
  }

  @Mutation(() => NodeRules)
  async setNodeTaints(
    @Changer() actor: Actor,
    @Args('node') node: string,
    @Args('add', words) add: string[],
    @Args('remove', words) remove: string[],
    @Args('generation', generationArgument) generation: number | null,
  ): Promise<NodeRules> {
    const change = TaintChange.parse({ add, remove });
    return rulesObject(await this.inventory.setTaints(actor, node, change, generation ?? null));
  }

  @Mutation(() => NodeRules)
  async cordonNode(@Changer() actor: Actor, @Args('node') node: string): Promise<NodeRules> {
    return rulesObject(await this.inventory.cordon(actor, node));
  }

  @Mutation(() => NodeRules)
  async uncordonNode(@Changer() actor: Actor, @Args('node') node: string): Promise<NodeRules> {
    return rulesObject(await this.inventory.uncordon(actor, node));
  }

  @Mutation(() => NodeRules)
  async acceptNode(
    @Changer() actor: Actor,
    @Args('node') node: string,
    @Args('generation', generationArgument) generation: number | null,
  ): Promise<NodeRules> {
    return rulesObject(await this.inventory.accept(actor, node, generation ?? null));
  }

  @Mutation(() => NodeRules)
  async checkNode(
    @Changer() actor: Actor,
    @Args('node') node: string,
    @Args('generation', generationArgument) generation: number | null,
  ): Promise<NodeRules> {
    return rulesObject(await this.inventory.recheck(actor, node, generation ?? null));
  }

  @Mutation(() => ProvidedDevice)
  setDevice(
    @Changer() actor: Actor,
    @Args('device', { type: () => ID, description: 'Its id, or NODE/KEY' }) device: string,
    @Args('reserved', { type: () => Int, description: '1 takes it out of service' }) reserved: number,
    @Args('generation', generationArgument) generation: number | null,
  ): Promise<ProvidedDevice> {
    return this.devices.change(actor, device, DeviceChange.parse({ reserved }), generation ?? null);
  }

  @Mutation(() => ProvidedDevice)
  attachDevice(
    @Changer() actor: Actor,
    @Args('drvm', { type: () => ID }) drvm: string,
    @Args('device', { type: () => ID, description: 'Its id, or NODE/KEY' }) device: string,
  ): Promise<ProvidedDevice> {
    return this.devices.attach(actor, drvm, device);
  }

  @Mutation(() => ProvidedDevice)
  detachDevice(
    @Changer() actor: Actor,
    @Args('drvm', { type: () => ID }) drvm: string,
    @Args('device', { type: () => ID }) device: string,
  ): Promise<ProvidedDevice> {
    return this.devices.detach(actor, drvm, device);
  }
}

function rulesObject({ check, ...view }: NodeRulesView): NodeRules {
  return {
    ...view,
    checkedAt: check?.at ?? null,
    checks: (check?.items ?? []).map(({ figures, ...item }) => ({
      ...item,
      figures: JSON.stringify(figures),
    })),
  };
}
