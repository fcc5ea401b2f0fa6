import { DrvsError } from '@drvs/contracts';
import { Logger, Module } from '@nestjs/common';
import { GraphQLModule } from '@nestjs/graphql';
import { MercuriusDriver, type MercuriusDriverConfig } from '@nestjs/mercurius';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type DocumentNode, type ExecutionResult, type GraphQLSchema, validate } from 'graphql';
import type { WebSocket } from 'ws';
import { AlertsModule } from '../alerts/alerts.module.js';
import { AuthService } from '../auth/auth.service.js';
import { DrvmsModule } from '../drvms/drvms.module.js';
import { EnergyModule } from '../energy/energy.module.js';
import { EventStreamModule } from '../event-stream/event-stream.module.js';
import { FailureModule } from '../failure/failure.module.js';
import { FilesModule } from '../files/files.module.js';
import { LeasesModule } from '../leases/leases.module.js';
import { NodesModule } from '../nodes/nodes.module.js';
import { OperationsModule } from '../operations/operations.module.js';
import { PlansModule } from '../plans/plans.module.js';
import { PowerModule } from '../power/power.module.js';
import { ProcessesModule } from '../processes/processes.module.js';
import { RateLimits } from '../rate-limits/rate-limits.js';
import { ReconfigureModule } from '../reconfigure/reconfigure.module.js';
import { SchedulesModule } from '../schedules/schedules.module.js';
import { TelemetryModule } from '../telemetry/telemetry.module.js';
import { TemplatesModule } from '../templates/templates.module.js';
import { TenantsModule } from '../tenants/tenants.module.js';
import { TokensModule } from '../tokens/tokens.module.js';
import { UsageModule } from '../usage/usage.module.js';
import { UsersModule } from '../users/users.module.js';
import { WebhooksModule } from '../webhooks/webhooks.module.js';
import { formatErrors } from './errors.js';
import { GraphReads } from './graph-reads.service.js';
import { MAX_BATCH, MAX_DEPTH, requireWithinLimits } from './query-limits.js';
import { RESOLVERS } from './resolvers.js';
import { type GraphqlContext, GraphqlSession } from './session.js';

const KEEP_ALIVE_MS = 15_000;
/** A WebSocket on which nobody has said who they are by then is closed. */
const INTRODUCE_WITHIN_MS = 10_000;
const NOT_INTRODUCED_CODE = 4408;

/**
 * GraphQL over the same services as REST. A browser shows its session cookie (and for mutations the CSRF token); a
 * WebSocket (graphql-transport-ws) the cookie and an Origin that is this server's own, or an API token in the
 * payload of connection_init.
 */
@Module({
  imports: [
    GraphQLModule.forRootAsync<MercuriusDriverConfig>({
      driver: MercuriusDriver,
      inject: [AuthService, RateLimits],
      useFactory: configuration,
    }),
    DrvmsModule,
    EventStreamModule,
    FilesModule,
    LeasesModule,
    NodesModule,
    OperationsModule,
    PlansModule,
    EnergyModule,
    PowerModule,
    FailureModule,
    ProcessesModule,
    ReconfigureModule,
    SchedulesModule,
    TemplatesModule,
    TenantsModule,
    TokensModule,
    UsersModule,
    AlertsModule,
    TelemetryModule,
    UsageModule,
    WebhooksModule,
  ],
  providers: [GraphReads, ...RESOLVERS],
})
export class GraphqlModule {}

function configuration(auth: AuthService, limits: RateLimits): MercuriusDriverConfig {
  const logger = new Logger('GraphQL');
  return {
    autoSchemaFile: true,
    sortSchema: true,
    path: '/graphql',
    graphiql: false,
    ide: false,
    jit: 1,
    allowBatchedQueries: true,
    // Introspection goes deeper, so the depth is judged with the other limits; this is for what skips them.
    queryDepth: 2 * MAX_DEPTH,
    errorFormatter: (execution: ExecutionResult) =>
      formatErrors(execution, (message, cause) => logger.error(message, cause)),
    context: async (request: FastifyRequest, reply: FastifyReply): Promise<GraphqlContext> => {
      const session = new GraphqlSession(request, auth);
      await session.authenticate();
      if (session.authenticated) await limits.charge(session.authenticated.actor, reply);
      return { session, reply };
    },
    additionalRouteOptions: {
      preHandler: async (request: FastifyRequest) => {
        if (!Array.isArray(request.body) || request.body.length <= MAX_BATCH) return;
        throw new DrvsError(
          'InvalidInput',
          `a batch holds ${MAX_BATCH} queries at most, this one ${request.body.length}`,
        );
      },
    },
    hooks: {
      preExecution: async (
        _schema: GraphQLSchema,
        document: DocumentNode,
        context: object,
        variables: object,
      ) => {
        const { session } = context as GraphqlContext;
        requireWithinLimits(document, variables as Record<string, unknown>, session.authenticated !== null);
      },
      preSubscriptionExecution: async (schema: GraphQLSchema, document: DocumentNode, context: object) => {
        const { session, _connectionInit } = context as GraphqlContext;
        await session.authenticate(authorizationOf(_connectionInit) ?? session.request.headers.authorization);
        session.requireAuthenticated();
        const [fault] = validate(schema, document);
        if (fault) throw fault;
        requireWithinLimits(document, {}, true);
      },
    },
    subscription: {
      keepAlive: KEEP_ALIVE_MS,
      verifyClient: (
        { req }: { req: { headers: Record<string, string | string[] | undefined> } },
        next: (accepted: boolean, code?: number, message?: string) => void,
      ) => (isOwnOrigin(req.headers) ? next(true) : next(false, 403, 'Forbidden')),
      context: (socket: WebSocket, request: FastifyRequest): GraphqlContext => {
        const session = new GraphqlSession(request, auth, socket);
        const introduction = setTimeout(() => {
          if (session.authenticated === null) socket.close(NOT_INTRODUCED_CODE, 'not signed in');
        }, INTRODUCE_WITHIN_MS);
        socket.once('close', () => clearTimeout(introduction));
        return { session };
      },
    },
  } as unknown as MercuriusDriverConfig;
}

/** A page of another origin would carry this origin's cookie along; programs send no Origin. */
function isOwnOrigin(headers: Record<string, string | string[] | undefined>): boolean {
  const { origin } = headers;
  if (origin === undefined) return true;
  const hosts = [headers.host, headers['x-forwarded-host']];
  try {
    return hosts.includes(new URL(String(origin)).host);
  } catch {
    return false;
  }
}

function authorizationOf(payload: unknown): string | undefined {
  if (typeof payload !== 'object' || payload === null) return undefined;
  const { authorization, Authorization, headers } = payload as Record<string, unknown>;
  const found = authorization ?? Authorization;
  return typeof found === 'string' ? found : authorizationOf(headers);
}
