import { Global, Module } from '@nestjs/common';
import { ApiProcesses } from './api-processes.js';
import { ApiRelay } from './api-relay.js';

@Global()
@Module({ providers: [ApiProcesses, ApiRelay], exports: [ApiProcesses, ApiRelay] })
export class ApiProcessesModule {}
