import { Module } from '@nestjs/common';
import { EnergyModule } from '../energy/energy.module.js';
import { OperationsModule } from '../operations/operations.module.js';
import { PowerController } from './power.controller.js';
import { PowerAdmin } from './power-admin.service.js';
import { PowerCoreModule } from './power-core.module.js';

/** Who may see, set and switch the power of nodes. */
@Module({
  imports: [EnergyModule, OperationsModule, PowerCoreModule],
  controllers: [PowerController],
  providers: [PowerAdmin],
  exports: [PowerAdmin],
})
export class PowerModule {}
