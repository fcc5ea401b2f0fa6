import type { NewTokenView, Page, TokenView } from '@drvs/contracts';
import { Body, Controller, Delete, Get, Header, HttpCode, Param, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { PageQuery } from '../http/paging.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { NewTokenAnswer, pageAnswer, TokenAnswer } from '../openapi/answers.js';
import { Endpoint } from '../openapi/endpoint.js';
import { NewToken, TokensService } from './tokens.service.js';

@ApiTags('tokens')
@Controller('api/v1/tokens')
export class TokensController {
  constructor(private readonly tokens: TokensService) {}

  @Get()
  @Endpoint({ summary: 'API tokens that are in force', query: PageQuery, answer: pageAnswer(TokenAnswer) })
  list(
    @CurrentActor() actor: Actor,
    @Query(new ZodPipe(PageQuery)) page: PageQuery,
  ): Promise<Page<TokenView>> {
    return this.tokens.list(actor, page);
  }

  @Post()
  @HttpCode(201)
  @Header('cache-control', 'no-store')
  @Endpoint({
    summary: 'Make an API token; it is shown this once',
    body: NewToken,
    answer: NewTokenAnswer,
    status: 201,
    idempotent: true,
  })
  create(
    @CurrentActor() actor: Actor,
    @Body(new ZodPipe(NewToken)) token: z.infer<typeof NewToken>,
  ): Promise<NewTokenView> {
    return this.tokens.create(actor, token);
  }

  @Delete(':id')
  @HttpCode(204)
  @Endpoint({ summary: 'Revoke it', status: 204, idempotent: true })
  revoke(@CurrentActor() actor: Actor, @Param('id') id: string): Promise<void> {
    return this.tokens.revoke(actor, id);
  }
}
