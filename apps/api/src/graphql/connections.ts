import type { Page } from '@drvs/contracts';
import { type Type } from '@nestjs/common';
import { ArgsType, Field, Int, ObjectType } from '@nestjs/graphql';
import { PageQuery } from '../http/paging.js';
import { ClusterPlan, Drvm, Event, Node, Operation, Schedule, Tenant, User } from './object-types.js';

/** Lists as Relay's connections; the cursors are those of REST's pages. */
@ObjectType()
export class PageInfo {
  @Field() hasNextPage!: boolean;
  @Field(() => String, { nullable: true }) endCursor!: string | null;
}

@ArgsType()
export class ConnectionArgs {
  @Field(() => Int, { nullable: true }) first?: number;
  @Field(() => String, { nullable: true }) after?: string;
}

export interface Edge<T> {
  node: T;
  cursor: string;
}

export interface Connection<T> {
  edges: Edge<T>[];
  nodes: T[];
  pageInfo: PageInfo;
}

export function connectionOf<T>(item: Type<T>): Type<Connection<T>> {
  @ObjectType(`${item.name}Edge`)
  class ItemEdge implements Edge<T> {
    @Field(() => item) node!: T;
    @Field() cursor!: string;
  }
  @ObjectType(`${item.name}Connection`)
  class ItemConnection implements Connection<T> {
    @Field(() => [ItemEdge]) edges!: ItemEdge[];
    @Field(() => [item]) nodes!: T[];
    @Field(() => PageInfo) pageInfo!: PageInfo;
  }
  return ItemConnection;
}

export const NodeConnection = connectionOf(Node);
export const DrvmConnection = connectionOf(Drvm);
export const TenantConnection = connectionOf(Tenant);
export const UserConnection = connectionOf(User);
export const OperationConnection = connectionOf(Operation);
export const EventConnection = connectionOf(Event);
export const ClusterPlanConnection = connectionOf(ClusterPlan);
export const ScheduleConnection = connectionOf(Schedule);

export function pageQuery({ first, after }: ConnectionArgs): PageQuery {
  return PageQuery.parse({ limit: first ?? undefined, cursor: after ?? undefined });
}

/** `cursorOf` gives the cursor after which the next page begins. */
export function connection<V, T>(
  { items, nextCursor }: Page<V>,
  cursorOf: (view: V) => string,
  objectOf: (view: V) => T,
): Connection<T> {
  const edges = items.map((view) => ({ node: objectOf(view), cursor: cursorOf(view) }));
  return {
    edges,
    nodes: edges.map(({ node }) => node),
    pageInfo: { hasNextPage: nextCursor !== null, endCursor: edges.at(-1)?.cursor ?? null },
  };
}
