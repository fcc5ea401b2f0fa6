import { Module } from '@nestjs/common';
import { Maintenance } from './maintenance.service.js';

@Module({ providers: [Maintenance], exports: [Maintenance] })
export class MaintenanceModule {}
