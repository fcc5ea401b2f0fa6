import { Module } from '@nestjs/common';
import { AgentsModule } from '../agents/agents.module.js';
import { OperationsModule } from '../operations/operations.module.js';
import { HomeService } from './home.service.js';
import { ProcessesController } from './processes.controller.js';
import { ProcessesService } from './processes.service.js';

@Module({
  imports: [AgentsModule, OperationsModule],
  controllers: [ProcessesController],
  providers: [HomeService, ProcessesService],
  exports: [HomeService, ProcessesService],
})
export class ProcessesModule {}
