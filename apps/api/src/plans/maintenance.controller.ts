import type { OperationView } from '@drvs/contracts';
import { Body, Controller, HttpCode, Param, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { OperationAnswer } from '../openapi/answers.js';
import { Endpoint } from '../openapi/endpoint.js';
import { ContinueRequest, MaintenanceRequest } from './maintenance-request.js';
import { NodeMaintenance } from './node-maintenance.service.js';

@ApiTags('nodes')
@Controller('api/v1')
export class MaintenanceController {
  constructor(private readonly maintenance: NodeMaintenance) {}

  @Post('maintenances')
  @HttpCode(202)
  @Endpoint({
    summary: 'Drain nodes, have something done to them, and restore them, so many at a time',
    description:
      'With the work `wait` the operation names the nodes on which somebody may work under `awaits`, and goes on when it is told so (`operations/{id}/continue`).',
    body: MaintenanceRequest,
    answer: OperationAnswer,
    status: 202,
    idempotent: true,
    problems: ['NotFound', 'StateConflict', 'OperationUnderWay'],
  })
  begin(
    @CurrentActor() actor: Actor,
    @Body(new ZodPipe(MaintenanceRequest)) request: MaintenanceRequest,
  ): Promise<OperationView> {
    return this.maintenance.begin(actor, request);
  }

  @Post('operations/:id/continue')
  @HttpCode(202)
  @Endpoint({
    summary: 'Tell an operation that waits for it that the work on nodes is done, or why it failed',
    body: ContinueRequest,
    answer: OperationAnswer,
    status: 202,
    idempotent: true,
  })
  proceed(
    @CurrentActor() actor: Actor,
    @Param('id') id: string,
    @Body(new ZodPipe(ContinueRequest)) request: ContinueRequest,
  ): Promise<OperationView> {
    return this.maintenance.proceed(actor, id, request);
  }
}
