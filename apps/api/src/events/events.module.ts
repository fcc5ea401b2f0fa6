import { Global, Module } from '@nestjs/common';
import { EventsService } from './events.service.js';

/** Storage of events; the streams over them are the business of whoever serves them. */
@Global()
@Module({ providers: [EventsService], exports: [EventsService] })
export class EventsModule {}
