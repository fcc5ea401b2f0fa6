import type { DrvmRulesView } from '@drvs/contracts';
import { Body, Controller, Get, Param, Patch } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { IfMatch } from '../http/etag.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { DrvmRulesAnswer } from '../openapi/answers.js';
import { Endpoint } from '../openapi/endpoint.js';
import { DrvmRulesChange } from './drvm-rules.js';
import { DrvmRules } from './drvm-rules.service.js';

@ApiTags('drvms')
@Controller('api/v1/drvms/:drvm/rules')
export class DrvmRulesController {
  constructor(private readonly rules: DrvmRules) {}

  @Get()
  @Endpoint({
    summary: 'On which nodes it may be, and which of these rules its slices break where they are',
    answer: DrvmRulesAnswer,
  })
  show(@CurrentActor() actor: Actor, @Param('drvm') reference: string): Promise<DrvmRulesView> {
    return this.rules.show(actor, reference);
  }

  @Patch()
  @Endpoint({
    summary:
      'Change on which nodes it may be; nothing moves for it, and what breaks the new rules is answered',
    description:
      'Each list that is given replaces the one before. What comes from then on keeps the rules; a balance moves what breaks them.',
    body: DrvmRulesChange,
    answer: DrvmRulesAnswer,
    ifMatch: true,
    idempotent: true,
  })
  change(
    @CurrentActor() actor: Actor,
    @Param('drvm') reference: string,
    @Body(new ZodPipe(DrvmRulesChange)) change: DrvmRulesChange,
    @IfMatch() generation: number | null,
  ): Promise<DrvmRulesView> {
    return this.rules.change(actor, reference, change, generation);
  }
}
