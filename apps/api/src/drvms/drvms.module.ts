import { Module } from '@nestjs/common';
import { OperationsModule } from '../operations/operations.module.js';
import { DrvmsController } from './drvms.controller.js';
import { DrvmsService } from './drvms.service.js';

@Module({
  imports: [OperationsModule],
  controllers: [DrvmsController],
  providers: [DrvmsService],
  exports: [DrvmsService],
})
export class DrvmsModule {}
