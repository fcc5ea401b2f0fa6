import { DrvsError, type EventView, type Page } from '@drvs/contracts';
import { Controller, Get, Headers, Query, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { authenticateRequest } from '../auth/auth.guard.js';
import { AuthService } from '../auth/auth.service.js';
import { CurrentActor } from '../auth/current-actor.js';
import { EventsService } from '../events/events.service.js';
import { hangUpSignal } from '../http/hang-up.js';
import { decodeCursor, PageQuery, pageOf } from '../http/paging.js';
import { StreamedAnswer } from '../http/streamed-answer.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { Endpoint } from '../openapi/endpoint.js';
import { EventStream } from './event-stream.service.js';

const EventNumber = z.string().regex(/^\d{1,18}$/, 'the id of an event');
const EventQuery = PageQuery.extend({
  /** Only those after this event. */
  since: EventNumber.optional(),
  order: z.enum(['oldest', 'newest']).default('oldest'),
});
const EventAnswer = z.object({
  id: z.string(),
  at: z.string(),
  kind: z.string(),
  tenant: z.string().nullable(),
  drvm: z.string().nullable(),
  node: z.string().nullable(),
  text: z.string(),
});
const EventPage = z.object({ items: z.array(EventAnswer), nextCursor: z.string().nullable() });
/** A comment is sent this often, so that neither end nor what is between takes the silence for an end. */
const COMMENT_EVERY_MS = 15_000;
/** The rights of whoever listens are looked at again this often. */
const RECHECK_MS = 5_000;

@ApiTags('events')
@Controller('api/v1/events')
export class EventStreamController {
  constructor(
    private readonly events: EventsService,
    private readonly stream: EventStream,
    private readonly auth: AuthService,
  ) {}

  @Get()
  @Endpoint({
    summary: 'What happened after an event',
    description:
      'The oldest first, or with `order=newest` the newest. To ask for what has happened since, take the id of the last ' +
      'event as `since`. With `Accept: text/event-stream` the events as they happen (server-sent events), going on after ' +
      '`Last-Event-ID`.',
    query: EventQuery,
    answer: EventPage,
    media: { type: 'text/event-stream' },
  })
  async list(
    @CurrentActor() actor: Actor,
    @Query(new ZodPipe(EventQuery)) query: z.infer<typeof EventQuery>,
    @Headers('accept') accept: string | undefined,
    @Headers('last-event-id') lastEventId: string | undefined,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    if (!accept?.includes('text/event-stream')) {
      await reply.send(await this.#page(actor, query));
      return;
    }
    if (lastEventId !== undefined && !EventNumber.safeParse(lastEventId).success) {
      throw new DrvsError('InvalidInput', 'Last-Event-ID is not the id of an event', {
        field: 'Last-Event-ID',
      });
    }
    await this.#serve(actor, lastEventId ?? query.since ?? null, request, reply);
  }

  async #page(
    actor: Actor,
    { since, order, limit, cursor }: z.infer<typeof EventQuery>,
  ): Promise<Page<EventView>> {
    const from = decodeCursor(cursor, EventNumber);
    const rows =
      order === 'newest'
        ? await this.events.latest(actor, from, limit + 1, since ?? null)
        : await this.events.since(actor, from ?? since ?? null, limit + 1);
    return pageOf(
      rows,
      limit,
      ({ id }) => id,
      (view) => view,
    );
  }

  /** Server-sent events (WHATWG HTML, 9.2). */
  async #serve(
    actor: Actor,
    since: string | null,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<void> {
    const end = new AbortController();
    const signal = AbortSignal.any([hangUpSignal(reply), end.signal]);
    const headers = { 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' };
    const answer = new StreamedAnswer(reply, headers, signal);
    answer.begin();
    const comment = (text: string): boolean => reply.raw.write(`: ${text}\n\n`);
    comment('connected');
    const comments = setInterval(() => comment('alive'), COMMENT_EVERY_MS);
    const recheck = setInterval(() => {
      authenticateRequest(this.auth, request).catch(() => end.abort());
    }, RECHECK_MS);
    try {
      for await (const event of this.stream.follow(actor, since, signal)) {
        await answer.write(`id: ${event.id}\nevent: ${event.kind}\ndata: ${JSON.stringify(event)}\n\n`);
      }
    } catch (error) {
      if (!signal.aborted) request.log.warn({ err: error }, 'a stream of events broke off');
    } finally {
      clearInterval(comments);
      clearInterval(recheck);
      answer.end();
    }
  }
}
