import type { LeaseView } from '@drvs/contracts';
import { Body, Controller, Delete, Get, HttpCode, Param, Post, Put } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { IfMatch } from '../http/etag.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { Endpoint } from '../openapi/endpoint.js';
import { LeaseAnswer } from '../openapi/inventory-answers.js';
import { LeaseExtension, LeaseTerms } from './lease-request.js';
import { LeasesService } from './leases.service.js';

@ApiTags('drvms')
@Controller('api/v1/drvms/:drvm/lease')
export class LeasesController {
  constructor(private readonly leases: LeasesService) {}

  @Get()
  @Endpoint({ summary: 'For how long it may be had', answer: LeaseAnswer })
  show(@CurrentActor() actor: Actor, @Param('drvm') reference: string): Promise<LeaseView> {
    return this.leases.show(actor, reference);
  }

  @Put()
  @Endpoint({
    summary: 'Give it a lease, or another one',
    body: LeaseTerms,
    answer: LeaseAnswer,
    ifMatch: true,
    idempotent: true,
  })
  set(
    @CurrentActor() actor: Actor,
    @Param('drvm') reference: string,
    @Body(new ZodPipe(LeaseTerms)) terms: LeaseTerms,
    @IfMatch() generation: number | null,
  ): Promise<LeaseView> {
    return this.leases.set(actor, reference, terms, generation);
  }

  @Post('extend')
  @HttpCode(200)
  @Endpoint({
    summary: 'Let it go on for longer',
    body: LeaseExtension,
    answer: LeaseAnswer,
    problems: ['StateConflict'],
    ifMatch: true,
    idempotent: true,
  })
  extend(
    @CurrentActor() actor: Actor,
    @Param('drvm') reference: string,
    @Body(new ZodPipe(LeaseExtension)) extension: z.infer<typeof LeaseExtension>,
    @IfMatch() generation: number | null,
  ): Promise<LeaseView> {
    return this.leases.extend(actor, reference, extension, generation);
  }

  @Delete()
  @HttpCode(204)
  @Endpoint({ summary: 'Let it be had without end', status: 204, ifMatch: true, idempotent: true })
  remove(
    @CurrentActor() actor: Actor,
    @Param('drvm') reference: string,
    @IfMatch() generation: number | null,
  ): Promise<void> {
    return this.leases.remove(actor, reference, generation);
  }
}
