import type {
  NewWebhookView,
  Page,
  WebhookDeliveryView,
  WebhookTestView,
  WebhookView,
} from '@drvs/contracts';
import { Body, Controller, Delete, Get, Header, HttpCode, Param, Patch, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { PageQuery } from '../http/paging.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { pageAnswer } from '../openapi/answers.js';
import { Endpoint } from '../openapi/endpoint.js';
import {
  NewWebhookAnswer,
  WebhookAnswer,
  WebhookDeliveryAnswer,
  WebhookTestAnswer,
} from '../openapi/watch-answers.js';
import { DELIVERY_STATES, NewWebhook, WebhookChange, WebhooksService } from './webhooks.service.js';

const DeliveriesQuery = PageQuery.extend({ state: z.enum(DELIVERY_STATES).optional() });

@ApiTags('webhooks')
@Controller('api/v1/webhooks')
export class WebhooksController {
  constructor(private readonly webhooks: WebhooksService) {}

  @Get()
  @Endpoint({ summary: 'Where events are sent to', query: PageQuery, answer: pageAnswer(WebhookAnswer) })
  list(
    @CurrentActor() actor: Actor,
    @Query(new ZodPipe(PageQuery)) page: PageQuery,
  ): Promise<Page<WebhookView>> {
    return this.webhooks.list(actor, page);
  }

  @Post()
  @HttpCode(201)
  @Header('cache-control', 'no-store')
  @Endpoint({
    summary: 'Send events to an address; the secret that signs them is shown this once',
    body: NewWebhook,
    answer: NewWebhookAnswer,
    status: 201,
    problems: ['NotFound', 'StateConflict'],
    idempotent: true,
  })
  create(
    @CurrentActor() actor: Actor,
    @Body(new ZodPipe(NewWebhook)) webhook: NewWebhook,
  ): Promise<NewWebhookView> {
    return this.webhooks.create(actor, webhook);
  }

  @Get(':id')
  @Endpoint({ summary: 'One webhook', answer: WebhookAnswer })
  show(@CurrentActor() actor: Actor, @Param('id') id: string): Promise<WebhookView> {
    return this.webhooks.show(actor, id);
  }

  @Patch(':id')
  @Endpoint({ summary: 'Change it', body: WebhookChange, answer: WebhookAnswer, idempotent: true })
  change(
    @CurrentActor() actor: Actor,
    @Param('id') id: string,
    @Body(new ZodPipe(WebhookChange)) change: WebhookChange,
  ): Promise<WebhookView> {
    return this.webhooks.change(actor, id, change);
  }

  @Delete(':id')
  @HttpCode(204)
  @Endpoint({ summary: 'Send nothing there any more', status: 204, idempotent: true })
  remove(@CurrentActor() actor: Actor, @Param('id') id: string): Promise<void> {
    return this.webhooks.remove(actor, id);
  }

  @Post(':id/test')
  @HttpCode(200)
  @Endpoint({ summary: 'Send a test event at once', answer: WebhookTestAnswer })
  test(@CurrentActor() actor: Actor, @Param('id') id: string): Promise<WebhookTestView> {
    return this.webhooks.test(actor, id);
  }

  @Get(':id/deliveries')
  @Endpoint({
    summary: 'What was sent and what waits, the newest first',
    query: DeliveriesQuery,
    answer: pageAnswer(WebhookDeliveryAnswer),
  })
  deliveries(
    @CurrentActor() actor: Actor,
    @Param('id') id: string,
    @Query(new ZodPipe(DeliveriesQuery)) query: z.infer<typeof DeliveriesQuery>,
  ): Promise<Page<WebhookDeliveryView>> {
    return this.webhooks.deliveries(actor, id, query);
  }

  @Post(':id/deliveries/:delivery/redeliver')
  @HttpCode(202)
  @Endpoint({
    summary: 'Send a delivery again; `all-dead`: all that were given up',
    answer: z.object({ queued: z.int() }),
    status: 202,
    idempotent: true,
  })
  redeliver(
    @CurrentActor() actor: Actor,
    @Param('id') id: string,
    @Param('delivery') delivery: string,
  ): Promise<{ queued: number }> {
    return this.webhooks.redeliver(actor, id, delivery);
  }
}
