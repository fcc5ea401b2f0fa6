import { Module } from '@nestjs/common';
import { AlertWatch } from './alert-watch.js';
import { AlertsController } from './alerts.controller.js';
import { AlertsService } from './alerts.service.js';

@Module({
  controllers: [AlertsController],
  providers: [AlertsService, AlertWatch],
  exports: [AlertsService],
})
export class AlertsModule {}
