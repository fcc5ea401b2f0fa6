import { Module } from '@nestjs/common';
import { PlansModule } from '../plans/plans.module.js';
import { ScheduleClock } from './schedule-clock.js';
import { SchedulesController } from './schedules.controller.js';
import { SchedulesService } from './schedules.service.js';

/** Plans at given times. */
@Module({
  imports: [PlansModule],
  controllers: [SchedulesController],
  providers: [SchedulesService, ScheduleClock],
  exports: [SchedulesService],
})
export class SchedulesModule {}
