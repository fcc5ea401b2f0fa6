import type { Page, TenantView } from '@drvs/contracts';
import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { IfMatch } from '../http/etag.js';
import { PageQuery } from '../http/paging.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { pageAnswer, TenantAnswer } from '../openapi/answers.js';
import { Endpoint } from '../openapi/endpoint.js';
import { NewTenant, TenantChange, TenantsService } from './tenants.service.js';

@ApiTags('tenants')
@Controller('api/v1/tenants')
export class TenantsController {
  constructor(private readonly tenants: TenantsService) {}

  @Get()
  @Endpoint({ summary: 'The departments', query: PageQuery, answer: pageAnswer(TenantAnswer) })
  list(
    @CurrentActor() actor: Actor,
    @Query(new ZodPipe(PageQuery)) page: PageQuery,
  ): Promise<Page<TenantView>> {
    return this.tenants.list(actor, page);
  }

  @Post()
  @HttpCode(201)
  @Endpoint({
    summary: 'Make a department',
    body: NewTenant,
    answer: TenantAnswer,
    status: 201,
    problems: ['AlreadyExists'],
    idempotent: true,
  })
  create(
    @CurrentActor() actor: Actor,
    @Body(new ZodPipe(NewTenant)) tenant: z.infer<typeof NewTenant>,
  ): Promise<TenantView> {
    return this.tenants.create(actor, tenant);
  }

  @Get(':tenant')
  @Endpoint({ summary: 'A department, by name or id', answer: TenantAnswer })
  show(@CurrentActor() actor: Actor, @Param('tenant') reference: string): Promise<TenantView> {
    return this.tenants.show(actor, reference);
  }

  @Patch(':tenant')
  @Endpoint({
    summary: 'Change its quota',
    body: TenantChange,
    answer: TenantAnswer,
    ifMatch: true,
    idempotent: true,
  })
  change(
    @CurrentActor() actor: Actor,
    @Param('tenant') reference: string,
    @Body(new ZodPipe(TenantChange)) change: z.infer<typeof TenantChange>,
    @IfMatch() generation: number | null,
  ): Promise<TenantView> {
    return this.tenants.change(actor, reference, change, generation);
  }

  @Delete(':tenant')
  @HttpCode(204)
  @Endpoint({
    summary: 'Remove it, when nothing belongs to it',
    status: 204,
    ifMatch: true,
    idempotent: true,
  })
  remove(
    @CurrentActor() actor: Actor,
    @Param('tenant') reference: string,
    @IfMatch() generation: number | null,
  ): Promise<void> {
    return this.tenants.remove(actor, reference, generation);
  }
}
