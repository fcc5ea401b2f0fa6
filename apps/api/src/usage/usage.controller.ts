import type { UsageView } from '@drvs/contracts';
import { Controller, Get, Header, Query, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import type { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { Endpoint } from '../openapi/endpoint.js';
import { UsageAnswer } from '../openapi/watch-answers.js';
import { usageCsv } from './csv.js';
import { UsageQuery, UsageService } from './usage.service.js';

@ApiTags('usage')
@Controller('api/v1/usage')
export class UsageController {
  constructor(private readonly accounting: UsageService) {}

  @Get()
  @Endpoint({
    summary: 'What departments or DRVMs held and used',
    description: 'Without `from` since the first of this month. `format=csv` answers text/csv.',
    query: UsageQuery,
    answer: UsageAnswer,
    media: { type: 'text/csv' },
    problems: ['NotFound'],
  })
  async usage(
    @CurrentActor() actor: Actor,
    @Query(new ZodPipe(UsageQuery)) { format, ...query }: z.infer<typeof UsageQuery>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<UsageView | string> {
    const view = await this.accounting.usage(actor, query);
    if (format === 'json') return view;
    void reply.header('content-type', 'text/csv; charset=utf-8; header=present');
    return usageCsv(view);
  }

  @Get('metrics')
  @Header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
  @Header('cache-control', 'no-store')
  @Endpoint({
    summary: 'The same by department, as Prometheus reads it; with a token, for it names departments',
    media: { type: 'text/plain' },
  })
  metrics(@CurrentActor() actor: Actor): Promise<string> {
    return this.accounting.metrics(actor);
  }
}
