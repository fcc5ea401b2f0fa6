import type { NodeInventoryView, NodeRulesView } from '@drvs/contracts';
import { Body, Controller, Get, HttpCode, Param, Patch, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { IfMatch } from '../http/etag.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { Endpoint } from '../openapi/endpoint.js';
import { NodeInventoryAnswer, NodeRulesAnswer } from '../openapi/inventory-answers.js';
import { InventoryService } from './inventory.service.js';
import { InventoryChange, TaintChange, TraitChange } from './inventory-request.js';

@ApiTags('nodes')
@Controller('api/v1/nodes')
export class InventoryController {
  constructor(private readonly inventory: InventoryService) {}

  @Get(':node/inventory')
  @Endpoint({
    summary: 'What a node offers of each class: total, held back, ratio, step',
    answer: NodeInventoryAnswer,
  })
  show(@CurrentActor() actor: Actor, @Param('node') reference: string): Promise<NodeInventoryView> {
    return this.inventory.show(actor, reference);
  }

  @Patch(':node/inventory')
  @Endpoint({
    summary: 'Set what is held back, the allocation ratio and the step of classes',
    body: InventoryChange,
    answer: NodeInventoryAnswer,
    problems: ['StateConflict'],
    ifMatch: true,
    idempotent: true,
  })
  set(
    @CurrentActor() actor: Actor,
    @Param('node') reference: string,
    @Body(new ZodPipe(InventoryChange)) change: InventoryChange,
    @IfMatch() generation: number | null,
  ): Promise<NodeInventoryView> {
    return this.inventory.set(actor, reference, change, generation);
  }

  @Get(':node/rules')
  @Endpoint({
    summary: 'Its traits, taints, rack and site, and its burn-in check',
    answer: NodeRulesAnswer,
  })
  rules(@CurrentActor() actor: Actor, @Param('node') reference: string): Promise<NodeRulesView> {
    return this.inventory.rules(actor, reference);
  }

  @Patch(':node/traits')
  @Endpoint({
    summary: 'Add and remove traits that are set by hand; rack=… and site=… say where it stands',
    body: TraitChange,
    answer: NodeRulesAnswer,
    problems: ['StateConflict'],
    ifMatch: true,
    idempotent: true,
  })
  traits(
    @CurrentActor() actor: Actor,
    @Param('node') reference: string,
    @Body(new ZodPipe(TraitChange)) change: z.infer<typeof TraitChange>,
    @IfMatch() generation: number | null,
  ): Promise<NodeRulesView> {
    return this.inventory.setTraits(actor, reference, change, generation);
  }

  @Patch(':node/taints')
  @Endpoint({
    summary: 'Add and remove taints, key=value:NoSchedule',
    body: TaintChange,
    answer: NodeRulesAnswer,
    ifMatch: true,
    idempotent: true,
  })
  taints(
    @CurrentActor() actor: Actor,
    @Param('node') reference: string,
    @Body(new ZodPipe(TaintChange)) change: z.infer<typeof TaintChange>,
    @IfMatch() generation: number | null,
  ): Promise<NodeRulesView> {
    return this.inventory.setTaints(actor, reference, change, generation);
  }

  @Post(':node/cordon')
  @HttpCode(200)
  @Endpoint({
    summary: 'Close it to what is new; what is on it stays',
    answer: NodeRulesAnswer,
    problems: ['StateConflict'],
    idempotent: true,
  })
  cordon(@CurrentActor() actor: Actor, @Param('node') reference: string): Promise<NodeRulesView> {
    return this.inventory.cordon(actor, reference);
  }

  @Post(':node/uncordon')
  @HttpCode(200)
  @Endpoint({
    summary: 'Open it again',
    answer: NodeRulesAnswer,
    problems: ['StateConflict'],
    idempotent: true,
  })
  uncordon(@CurrentActor() actor: Actor, @Param('node') reference: string): Promise<NodeRulesView> {
    return this.inventory.uncordon(actor, reference);
  }

  @Post(':node/accept')
  @HttpCode(200)
  @Endpoint({
    summary: 'Let it have DRVMs though its burn-in check failed, or was not made',
    answer: NodeRulesAnswer,
    problems: ['StateConflict'],
    ifMatch: true,
    idempotent: true,
  })
  accept(
    @CurrentActor() actor: Actor,
    @Param('node') reference: string,
    @IfMatch() generation: number | null,
  ): Promise<NodeRulesView> {
    return this.inventory.accept(actor, reference, generation);
  }

  @Post(':node/check')
  @HttpCode(202)
  @Endpoint({
    summary: 'Ask for its burn-in check to be made again; until it has passed it gets nothing new',
    answer: NodeRulesAnswer,
    status: 202,
    ifMatch: true,
    idempotent: true,
  })
  check(
    @CurrentActor() actor: Actor,
    @Param('node') reference: string,
    @IfMatch() generation: number | null,
  ): Promise<NodeRulesView> {
    return this.inventory.recheck(actor, reference, generation);
  }
}
