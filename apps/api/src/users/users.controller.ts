import type { Page, UserView } from '@drvs/contracts';
import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { IfMatch } from '../http/etag.js';
import { PageQuery } from '../http/paging.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { pageAnswer, UserAnswer } from '../openapi/answers.js';
import { Endpoint } from '../openapi/endpoint.js';
import { NewUser, UserChange, UsersService } from './users.service.js';

@ApiTags('users')
@Controller('api/v1/users')
export class UsersController {
  constructor(private readonly users: UsersService) {}

  @Get()
  @Endpoint({
    summary: 'The users, or those of your department',
    query: PageQuery,
    answer: pageAnswer(UserAnswer),
  })
  list(
    @CurrentActor() actor: Actor,
    @Query(new ZodPipe(PageQuery)) page: PageQuery,
  ): Promise<Page<UserView>> {
    return this.users.list(actor, page);
  }

  @Post()
  @HttpCode(201)
  @Endpoint({
    summary: 'Make a user',
    body: NewUser,
    answer: UserAnswer,
    status: 201,
    problems: ['AlreadyExists'],
    idempotent: true,
  })
  create(
    @CurrentActor() actor: Actor,
    @Body(new ZodPipe(NewUser)) user: z.infer<typeof NewUser>,
  ): Promise<UserView> {
    return this.users.create(actor, user);
  }

  @Get(':user')
  @Endpoint({ summary: 'A user, by name or id', answer: UserAnswer, isOfLedger: true })
  show(@CurrentActor() actor: Actor, @Param('user') reference: string): Promise<UserView> {
    return this.users.show(actor, reference);
  }

  @Patch(':user')
  @Endpoint({
    summary: 'Change role, department or password',
    body: UserChange,
    answer: UserAnswer,
    ifMatch: true,
    idempotent: true,
  })
  change(
    @CurrentActor() actor: Actor,
    @Param('user') reference: string,
    @Body(new ZodPipe(UserChange)) change: z.infer<typeof UserChange>,
    @IfMatch() generation: number | null,
  ): Promise<UserView> {
    return this.users.change(actor, reference, change, generation);
  }

  @Delete(':user')
  @HttpCode(204)
  @Endpoint({
    summary: 'Remove a user, with all sessions and tokens',
    status: 204,
    ifMatch: true,
    idempotent: true,
  })
  remove(
    @CurrentActor() actor: Actor,
    @Param('user') reference: string,
    @IfMatch() generation: number | null,
  ): Promise<void> {
    return this.users.remove(actor, reference, generation);
  }
}
