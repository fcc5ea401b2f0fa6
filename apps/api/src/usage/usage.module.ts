import { Module } from '@nestjs/common';
import { UsageController } from './usage.controller.js';
import { UsageService } from './usage.service.js';
import { UsageMeter } from './usage-meter.js';

@Module({
  controllers: [UsageController],
  providers: [UsageMeter, UsageService],
  exports: [UsageMeter, UsageService],
})
export class UsageModule {}
