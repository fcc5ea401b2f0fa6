import {
  Args,
  ArgsType,
  Field,
  Float,
  ID,
  Int,
  Mutation,
  ObjectType,
  Query,
  Resolver,
} from '@nestjs/graphql';
import type { Actor } from '../auth/actor.js';
import { encodeCursor } from '../http/paging.js';
import { EnrolmentRequest, NodesService } from '../nodes/nodes.service.js';
import { TenantChange, TenantsService } from '../tenants/tenants.service.js';
import { NewToken, TokensService } from '../tokens/tokens.service.js';
import { UsersService } from '../users/users.service.js';
import { type Connection, ConnectionArgs, connection, connectionOf, pageQuery } from './connections.js';
import { QuotaInput, Tenant } from './object-types.js';
import { withoutNulls } from './people.resolver.js';
import { Changer, Reader } from './session.js';

@ObjectType()
class Token {
  @Field(() => ID) id!: string;
  @Field() name!: string;
  @Field(() => String, { nullable: true }) tenant!: string | null;
  @Field() role!: string;
  @Field() createdAt!: string;
  @Field(() => String, { nullable: true }) expiresAt!: string | null;
  @Field(() => String, { nullable: true }) lastUsedAt!: string | null;
}
const TokenConnection = connectionOf(Token);

@ObjectType({ description: 'The secret is shown this once' })
class NewTokenObject {
  @Field(() => ID) id!: string;
  @Field() token!: string;
  @Field(() => String, { nullable: true }) expiresAt!: string | null;
}

@ObjectType({ description: 'With it one agent can join; it is shown this once' })
class EnrolmentToken {
  @Field() token!: string;
  @Field() expiresAt!: string;
}

@ArgsType()
class NewTokenArgs {
  @Field() name!: string;
  @Field() role!: string;
  @Field(() => String, { nullable: true }) tenant?: string;
  @Field(() => Float, { nullable: true, description: 'Without it the token does not expire' })
  expiresInDays?: number;
}

/** Tokens of programs and of nodes, and what ends: quotas that change, people and departments that go. */
@Resolver()
export class SecretsResolver {
  constructor(
    private readonly tokens: TokensService,
    private readonly nodes: NodesService,
    private readonly tenants: TenantsService,
    private readonly users: UsersService,
  ) {}

  @Query(() => TokenConnection, { name: 'tokens', description: 'Those in force, without their secrets' })
  async tokenList(@Reader() actor: Actor, @Args() args: ConnectionArgs): Promise<Connection<Token>> {
    return connection(
      await this.tokens.list(actor, pageQuery(args)),
      ({ id }) => encodeCursor(id),
      (token) => token,
    );
  }

  @Mutation(() => NewTokenObject)
  createToken(@Changer() actor: Actor, @Args() input: NewTokenArgs): Promise<NewTokenObject> {
    return this.tokens.create(actor, NewToken.parse(withoutNulls(input)));
  }

  @Mutation(() => ID, { description: 'Answers the id that was revoked' })
  async revokeToken(@Changer() actor: Actor, @Args('id', { type: () => ID }) id: string): Promise<string> {
    await this.tokens.revoke(actor, id);
    return id;
  }

  @Mutation(() => EnrolmentToken)
  createEnrolmentToken(
    @Changer() actor: Actor,
    @Args('expiresIn', { type: () => Int, nullable: true, description: 'Seconds' }) expiresIn?: number,
  ): Promise<EnrolmentToken> {
    return this.nodes.createEnrolmentToken(actor, EnrolmentRequest.parse(withoutNulls({ expiresIn })));
  }

  @Mutation(() => Tenant, { description: 'What a department may hold in all; what is left out has no limit' })
  setQuota(
    @Changer() actor: Actor,
    @Args('tenant') name: string,
    @Args('quota', { type: () => QuotaInput }) quota: QuotaInput,
  ): Promise<Tenant> {
    return this.tenants.change(actor, name, TenantChange.parse({ quota: withoutNulls(quota) }), null);
  }

  @Mutation(() => String, { description: 'Answers the name of what is gone' })
  async removeTenant(@Changer() actor: Actor, @Args('name') name: string): Promise<string> {
    await this.tenants.remove(actor, name, null);
    return name;
  }

  @Mutation(() => String, { description: 'With sessions and tokens; answers the name of who is gone' })
  async removeUser(@Changer() actor: Actor, @Args('name') name: string): Promise<string> {
    await this.users.remove(actor, name, null);
    return name;
  }
}
