import { Module } from '@nestjs/common';
import { LinksModule } from '../agents/links.module.js';
import { OperationsModule } from '../operations/operations.module.js';
import { ResizeController } from './resize.controller.js';
import { ResizeService } from './resize.service.js';
import { SliceChangesModule } from './slice-changes.module.js';

@Module({
  imports: [LinksModule, OperationsModule, SliceChangesModule],
  controllers: [ResizeController],
  providers: [ResizeService],
  exports: [ResizeService],
})
export class ReconfigureModule {}
