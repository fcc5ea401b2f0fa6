import type { LoanView } from '@drvs/contracts';
import { Controller, Get, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { LoanAnswer } from '../openapi/answers.js';
import { Endpoint } from '../openapi/endpoint.js';
import { LoanQuery, LoansService } from './loans.service.js';

@ApiTags('loans')
@Controller('api/v1/loans')
export class LoansController {
  constructor(private readonly loans: LoansService) {}

  @Get()
  @Endpoint({
    summary: 'What is lent and borrowed of the CPU of the nodes now',
    query: LoanQuery,
    answer: z.object({ items: z.array(LoanAnswer) }),
  })
  async list(
    @CurrentActor() actor: Actor,
    @Query(new ZodPipe(LoanQuery)) query: LoanQuery,
  ): Promise<{ items: LoanView[] }> {
    return { items: await this.loans.list(actor, query) };
  }
}
