// The peer of a GraphQL query: Mercurius on Fastify with a schema of one field.
import Fastify from 'fastify';
import mercurius from 'mercurius';

const app = Fastify();
await app.register(mercurius, {
  schema: 'type Query { hello: String! }',
  resolvers: { Query: { hello: async () => 'hello' } },
  jit: 1,
});
await app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' });
