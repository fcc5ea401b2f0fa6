import { Global, Module } from '@nestjs/common';
import { JobsService } from './jobs.service.js';
import { LedgerSession } from './ledger-session.js';

@Global()
@Module({ providers: [JobsService, LedgerSession], exports: [JobsService, LedgerSession] })
export class JobsModule {}
