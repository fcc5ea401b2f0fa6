import type { Page } from '@drvs/contracts';
import { Controller, Get, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { PageQuery } from '../http/paging.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { AuditAnswer, AuditVerificationAnswer, pageAnswer } from '../openapi/answers.js';
import { Endpoint } from '../openapi/endpoint.js';
import { AuditService, type AuditVerification, type AuditView } from './audit.service.js';

@ApiTags('audit')
@Controller('api/v1/audit')
export class AuditController {
  constructor(private readonly audit: AuditService) {}

  @Get()
  @Endpoint({ summary: 'Who did what, the newest first', query: PageQuery, answer: pageAnswer(AuditAnswer) })
  list(
    @CurrentActor() actor: Actor,
    @Query(new ZodPipe(PageQuery)) page: PageQuery,
  ): Promise<Page<AuditView>> {
    return this.audit.list(actor, page);
  }

  @Get('verify')
  @Endpoint({ summary: 'Compute the chain of hashes again', answer: AuditVerificationAnswer })
  verify(@CurrentActor() actor: Actor): Promise<AuditVerification> {
    return this.audit.verify(actor);
  }
}
