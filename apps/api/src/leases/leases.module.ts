import { Module } from '@nestjs/common';
import { DrvmsModule } from '../drvms/drvms.module.js';
import { ReconfigureModule } from '../reconfigure/reconfigure.module.js';
import { LeaseLoop } from './lease-loop.js';
import { LeasesController } from './leases.controller.js';
import { LeasesService } from './leases.service.js';

@Module({
  imports: [DrvmsModule, ReconfigureModule],
  controllers: [LeasesController],
  providers: [LeasesService, LeaseLoop],
  exports: [LeasesService],
})
export class LeasesModule {}
