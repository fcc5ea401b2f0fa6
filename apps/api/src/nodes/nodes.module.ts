import { Module } from '@nestjs/common';
import { LinksModule } from '../agents/links.module.js';
import { DevicesController } from './devices.controller.js';
import { DevicesService } from './devices.service.js';
import { InventoryController } from './inventory.controller.js';
import { InventoryService } from './inventory.service.js';
import { NodesController } from './nodes.controller.js';
import { NodesService } from './nodes.service.js';

@Module({
  imports: [LinksModule],
  controllers: [NodesController, InventoryController, DevicesController],
  providers: [NodesService, InventoryService, DevicesService],
  exports: [NodesService, InventoryService, DevicesService],
})
export class NodesModule {}
