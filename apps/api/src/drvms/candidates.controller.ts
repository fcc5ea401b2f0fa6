import type { CandidatesView, CandidateView, ExplanationView, WaitingView } from '@drvs/contracts';
import { Body, Controller, Delete, Get, HttpCode, Param, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { Endpoint } from '../openapi/endpoint.js';
import {
  CandidateAnswer,
  CandidatesAnswer,
  ExplanationAnswer,
  WaitingAnswer,
  WaitingListAnswer,
} from '../openapi/inventory-answers.js';
import { FROM_LEDGER } from '../openapi/problems.js';
import { CandidateQuery, CandidatesService, HypotheticalDrvm } from './candidates.service.js';
import { QueueService } from './queue.service.js';

@ApiTags('allocations')
@Controller('api/v1')
export class CandidatesController {
  constructor(
    private readonly candidates: CandidatesService,
    private readonly queue: QueueService,
  ) {}

  @Post('allocation-candidates')
  @HttpCode(200)
  @Endpoint({
    summary: 'Ways of holding a DRVM: sets of slices over several nodes, scored, the best first',
    description:
      'A candidate is kept for a quarter of an hour, and claimed by `candidate` when the DRVM is created.',
    body: CandidateQuery,
    answer: CandidatesAnswer,
    problems: FROM_LEDGER,
  })
  list(
    @CurrentActor() actor: Actor,
    @Body(new ZodPipe(CandidateQuery)) query: z.infer<typeof CandidateQuery>,
  ): Promise<CandidatesView> {
    return this.candidates.list(actor, query);
  }

  @Get('allocation-candidates/:candidate')
  @Endpoint({
    summary: 'A candidate that was listed, and what it was listed for',
    answer: z.object({ candidate: CandidateAnswer, request: z.record(z.string(), z.unknown()) }),
  })
  show(
    @CurrentActor() actor: Actor,
    @Param('candidate') id: string,
  ): Promise<{ candidate: CandidateView; request: Record<string, unknown> }> {
    return this.candidates.show(actor, id);
  }

  @Post('allocation-explanations')
  @HttpCode(200)
  @Endpoint({
    summary: 'Whether a DRVM would fit: now, not now, or never; why, and what would change it',
    body: HypotheticalDrvm,
    answer: ExplanationAnswer,
  })
  explain(
    @CurrentActor() actor: Actor,
    @Body(new ZodPipe(HypotheticalDrvm)) request: z.infer<typeof HypotheticalDrvm>,
  ): Promise<ExplanationView> {
    return this.candidates.explain(actor, request);
  }

  @Get('queue')
  @Endpoint({
    summary: 'Creations that wait for room, in the order in which they would be let in',
    answer: WaitingListAnswer,
  })
  async waiting(@CurrentActor() actor: Actor): Promise<{ items: WaitingView[] }> {
    return { items: await this.queue.list(actor) };
  }

  @Get('queue/:request')
  @Endpoint({ summary: 'One of them', answer: WaitingAnswer })
  waits(@CurrentActor() actor: Actor, @Param('request') id: string): Promise<WaitingView> {
    return this.queue.show(actor, id);
  }

  @Delete('queue/:request')
  @Endpoint({
    summary: 'Take it out of the queue',
    answer: WaitingAnswer,
    problems: ['StateConflict'],
    idempotent: true,
  })
  cancel(@CurrentActor() actor: Actor, @Param('request') id: string): Promise<WaitingView> {
    return this.queue.cancel(actor, id);
  }
}
