import { Module } from '@nestjs/common';
import { EventStreamController } from './event-stream.controller.js';
import { EventStream } from './event-stream.service.js';

@Module({ controllers: [EventStreamController], providers: [EventStream], exports: [EventStream] })
export class EventStreamModule {}
