import type { DeviceView, TopologyView } from '@drvs/contracts';
import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { IfMatch } from '../http/etag.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { Endpoint } from '../openapi/endpoint.js';
import { DeviceAnswer, DeviceListAnswer, TopologyAnswer } from '../openapi/inventory-answers.js';
import { DevicesService } from './devices.service.js';
import { InventoryService } from './inventory.service.js';
import { DeviceChange, DeviceQuery } from './inventory-request.js';

const DeviceReference = z.strictObject({
  /** Its id, or NODE/KEY. */
  device: z.string().min(1).max(300),
});

@ApiTags('devices')
@Controller('api/v1')
export class DevicesController {
  constructor(
    private readonly devices: DevicesService,
    private readonly inventory: InventoryService,
  ) {}

  @Get('topology')
  @Endpoint({ summary: 'Sites, racks and nodes', answer: TopologyAnswer })
  topology(@CurrentActor() actor: Actor): Promise<TopologyView> {
    return this.inventory.topology(actor);
  }

  @Get('devices')
  @Endpoint({
    summary: 'The devices of all nodes, and who has them; a department sees its own',
    query: DeviceQuery,
    answer: DeviceListAnswer,
  })
  async list(
    @CurrentActor() actor: Actor,
    @Query(new ZodPipe(DeviceQuery)) query: z.infer<typeof DeviceQuery>,
  ): Promise<{ items: DeviceView[] }> {
    return { items: await this.devices.list(actor, query) };
  }

  @Patch('devices/:device')
  @Endpoint({
    summary: 'Take it out of service (reserved 1), or put it into service (0)',
    body: DeviceChange,
    answer: DeviceAnswer,
    ifMatch: true,
    idempotent: true,
  })
  change(
    @CurrentActor() actor: Actor,
    @Param('device') reference: string,
    @Body(new ZodPipe(DeviceChange)) change: z.infer<typeof DeviceChange>,
    @IfMatch() generation: number | null,
  ): Promise<DeviceView> {
    return this.devices.change(actor, reference, change, generation);
  }

  @Post('drvms/:drvm/devices')
  @HttpCode(200)
  @Endpoint({
    summary: 'Give it a device of a node on which it has a slice',
    body: DeviceReference,
    answer: DeviceAnswer,
    problems: ['StateConflict', 'QuotaExceeded'],
    idempotent: true,
  })
  attach(
    @CurrentActor() actor: Actor,
    @Param('drvm') reference: string,
    @Body(new ZodPipe(DeviceReference)) { device }: z.infer<typeof DeviceReference>,
  ): Promise<DeviceView> {
    return this.devices.attach(actor, reference, device);
  }

  @Delete('drvms/:drvm/devices/:device')
  @Endpoint({ summary: 'Take a device from it', answer: DeviceAnswer, idempotent: true })
  detach(
    @CurrentActor() actor: Actor,
    @Param('drvm') reference: string,
    @Param('device') device: string,
  ): Promise<DeviceView> {
    return this.devices.detach(actor, reference, device);
  }
}
