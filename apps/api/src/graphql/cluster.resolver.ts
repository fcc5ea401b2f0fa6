import { setTimeout as delay } from 'node:timers/promises';
import { Args, Context, Query, Resolver, Subscription } from '@nestjs/graphql';
import { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { EventStream } from '../event-stream/event-stream.service.js';
import { EventsService } from '../events/events.service.js';
import { decodeCursor, encodeCursor } from '../http/paging.js';
import {
  type Connection,
  ConnectionArgs,
  connection,
  EventConnection,
  NodeConnection,
  pageQuery,
} from './connections.js';
import { GraphReads } from './graph-reads.service.js';
import { live } from './live.js';
import { Event, Node } from './object-types.js';
import { type GraphqlContext, Reader } from './session.js';

/** A live picture is sent at most this often, and only when it has changed. */
const PICTURE_EVERY_MS = 1_000;
const EventNumber = z.string().regex(/^\d{1,18}$/);

/** Nodes, and what happens. */
@Resolver(() => Node)
export class ClusterResolver {
  constructor(
    private readonly reads: GraphReads,
    private readonly events: EventsService,
    private readonly stream: EventStream,
  ) {}

  @Query(() => NodeConnection)
  async nodes(@Reader() actor: Actor, @Args() args: ConnectionArgs): Promise<Connection<Node>> {
    return connection(
      await this.reads.nodes(actor, pageQuery(args)),
      ({ name }) => encodeCursor(name),
      (node) => node,
    );
  }

  @Query(() => Node, { nullable: true })
  node(@Reader() actor: Actor, @Args('name') name: string): Promise<Node | null> {
    return this.reads.node(actor, name);
  }

  @Query(() => EventConnection, { name: 'events', description: 'The newest first' })
  async eventList(@Reader() actor: Actor, @Args() args: ConnectionArgs): Promise<Connection<Event>> {
    const { limit, cursor } = pageQuery(args);
    const rows = await this.events.latest(actor, decodeCursor(cursor, EventNumber), limit + 1);
    const items = rows.slice(0, limit);
    const nextCursor = rows.length > limit ? encodeCursor(items.at(-1)?.id ?? '0') : null;
    return connection(
      { items, nextCursor },
      ({ id }) => encodeCursor(id),
      (event) => event,
    );
  }

  @Subscription(() => [Node], {
    resolve: (nodes: Node[]) => nodes,
    description:
      'All nodes that the viewer may see, once a second at most, when something of them has changed',
  })
  telemetry(@Context() context: GraphqlContext): AsyncIterableIterator<Node[]> {
    return live(context, (actor, signal) => changes(() => this.reads.telemetry(actor), signal));
  }

  @Subscription(() => Event, { name: 'events', resolve: (event: Event) => event })
  eventsLive(@Context() context: GraphqlContext): AsyncIterableIterator<Event> {
    return live(context, (actor, signal) => this.stream.follow(actor, null, signal));
  }
}

/** What `look` sees, at once and then whenever it is another picture than before. */
export async function* changes<T>(look: () => Promise<T>, signal: AbortSignal): AsyncGenerator<T> {
  for (let last = ''; !signal.aborted; ) {
    const picture = await look();
    const now = JSON.stringify(picture);
    if (now !== last) yield picture;
    last = now;
    await delay(PICTURE_EVERY_MS, undefined, { signal });
  }
}
