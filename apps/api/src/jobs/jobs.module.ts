import { Global, Module } from '@nestjs/common';
import { JobsService } from './jobs.service.js';
import { LedgerNotices } from './ledger-notices.js';

@Global()
@Module({ providers: [JobsService, LedgerNotices], exports: [JobsService, LedgerNotices] })
export class JobsModule {}
