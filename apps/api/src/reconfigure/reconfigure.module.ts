import { Module } from '@nestjs/common';
import { LinksModule } from '../agents/links.module.js';
import { OperationsModule } from '../operations/operations.module.js';
import { Lending } from './lending.js';
import { LoansController } from './loans.controller.js';
import { LoansService } from './loans.service.js';
import { ResizeController } from './resize.controller.js';
import { ResizeService } from './resize.service.js';
import { SliceChangesModule } from './slice-changes.module.js';

@Module({
  imports: [LinksModule, OperationsModule, SliceChangesModule],
  controllers: [LoansController, ResizeController],
  providers: [Lending, LoansService, ResizeService],
  exports: [LoansService, ResizeService],
})
export class ReconfigureModule {}
