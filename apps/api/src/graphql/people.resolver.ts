import { Args, Mutation, Query, Resolver } from '@nestjs/graphql';
import type { Actor } from '../auth/actor.js';
import { encodeCursor } from '../http/paging.js';
import { NewTenant, TenantsService } from '../tenants/tenants.service.js';
import { NewUser, UsersService } from '../users/users.service.js';
import {
  type Connection,
  ConnectionArgs,
  connection,
  pageQuery,
  TenantConnection,
  UserConnection,
} from './connections.js';
import { CreateUserInput, QuotaInput, Tenant, User } from './object-types.js';
import { Changer, Reader } from './session.js';

const itself = <T>(view: T): T => view;
const byName = ({ name }: { name: string }) => encodeCursor(name);

/** Departments and their people. */
@Resolver()
export class PeopleResolver {
  constructor(
    private readonly tenants: TenantsService,
    private readonly users: UsersService,
  ) {}

  @Query(() => TenantConnection, { name: 'tenants' })
  async tenantList(@Reader() actor: Actor, @Args() args: ConnectionArgs): Promise<Connection<Tenant>> {
    return connection(await this.tenants.list(actor, pageQuery(args)), byName, itself);
  }

  @Query(() => UserConnection, { name: 'users' })
  async userList(@Reader() actor: Actor, @Args() args: ConnectionArgs): Promise<Connection<User>> {
    return connection(await this.users.list(actor, pageQuery(args)), byName, itself);
  }

  @Mutation(() => Tenant)
  createTenant(
    @Changer() actor: Actor,
    @Args('name') name: string,
    @Args('quota', { type: () => QuotaInput, nullable: true }) quota?: QuotaInput,
  ): Promise<Tenant> {
    return this.tenants.create(actor, NewTenant.parse({ name, quota: withoutNulls(quota ?? {}) }));
  }

  @Mutation(() => User)
  createUser(@Changer() actor: Actor, @Args('input') input: CreateUserInput): Promise<User> {
    return this.users.create(actor, NewUser.parse(withoutNulls(input)));
  }
}

/** GraphQL does not tell a value left out from null, REST's schemas do. */
export function withoutNulls(input: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(input).filter(([, value]) => value !== null && value !== undefined),
  );
}
