import { Module } from '@nestjs/common';
import { MailDispatcher } from './mail-dispatcher.js';

@Module({ providers: [MailDispatcher] })
export class MailModule {}
