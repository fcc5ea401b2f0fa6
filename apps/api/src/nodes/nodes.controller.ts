import type { NodeDetailView, NodeView, Page } from '@drvs/contracts';
import { Body, Controller, Delete, Get, Header, HttpCode, Param, Patch, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { IfMatch } from '../http/etag.js';
import { PageQuery } from '../http/paging.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { EnrolmentTokenAnswer, NodeAnswer, NodeDetailAnswer, pageAnswer } from '../openapi/answers.js';
import { Endpoint } from '../openapi/endpoint.js';
import { NodeRemoval } from './lost-node.js';
import { EnrolmentRequest, NodeChange, NodesService } from './nodes.service.js';

@ApiTags('nodes')
@Controller('api/v1/nodes')
export class NodesController {
  constructor(private readonly nodes: NodesService) {}

  @Get()
  @Endpoint({
    summary: 'The nodes; a department sees those that hold its DRVMs, and of these its own share',
    query: PageQuery,
    answer: pageAnswer(NodeAnswer),
  })
  list(
    @CurrentActor() actor: Actor,
    @Query(new ZodPipe(PageQuery)) page: PageQuery,
  ): Promise<Page<NodeView>> {
    return this.nodes.list(actor, page);
  }

  @Post('enroll-tokens')
  @HttpCode(201)
  @Header('cache-control', 'no-store')
  @Endpoint({
    summary: 'Make a token with which one agent can join; it is shown this once',
    body: EnrolmentRequest,
    answer: EnrolmentTokenAnswer,
    status: 201,
    idempotent: true,
  })
  enrol(
    @CurrentActor() actor: Actor,
    @Body(new ZodPipe(EnrolmentRequest)) request: z.infer<typeof EnrolmentRequest>,
  ): Promise<{ token: string; expiresAt: string }> {
    return this.nodes.createEnrolmentToken(actor, request);
  }

  @Get(':node')
  @Endpoint({ summary: 'A node, by name or id', answer: NodeDetailAnswer })
  show(@CurrentActor() actor: Actor, @Param('node') reference: string): Promise<NodeDetailView> {
    return this.nodes.show(actor, reference);
  }

  @Patch(':node')
  @Endpoint({
    summary: 'Set labels (null removes one)',
    body: NodeChange,
    answer: NodeDetailAnswer,
    ifMatch: true,
    idempotent: true,
  })
  change(
    @CurrentActor() actor: Actor,
    @Param('node') reference: string,
    @Body(new ZodPipe(NodeChange)) change: z.infer<typeof NodeChange>,
    @IfMatch() generation: number | null,
  ): Promise<NodeDetailView> {
    return this.nodes.change(actor, reference, change, generation);
  }

  @Delete(':node')
  @HttpCode(204)
  @Endpoint({
    summary: 'Remove it for good: when it holds nothing, or by force when it is lost',
    query: NodeRemoval,
    status: 204,
    problems: ['StateConflict'],
    ifMatch: true,
    idempotent: true,
  })
  remove(
    @CurrentActor() actor: Actor,
    @Param('node') reference: string,
    @Query(new ZodPipe(NodeRemoval)) { force, confirm }: z.infer<typeof NodeRemoval>,
    @IfMatch() generation: number | null,
  ): Promise<void> {
    return this.nodes.remove(actor, reference, generation, {
      force: force === 'true',
      confirm: confirm ?? null,
    });
  }
}
