import 'reflect-metadata';
import type { ErrorCode } from '@drvs/contracts';
import { applyDecorators, UseInterceptors } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import {
  ApiBody,
  ApiExtension,
  ApiHeader,
  ApiOperation,
  ApiQuery,
  ApiResponse,
  ApiSecurity,
} from '@nestjs/swagger';
import { z } from 'zod';
import { IdempotencyInterceptor } from '../http/idempotency.interceptor.js';
import { ProblemAnswer } from './answers.js';
import type { JsonSchema } from './examples.js';

export interface EndpointDescription {
  summary: string;
  description?: string;
  body?: z.ZodType;
  query?: z.ZodObject;
  /** What a success answers. */
  answer?: z.ZodType;
  status?: number;
  /** Other successes, for instance the plan of a dry run; null for one without a body. */
  alsoAnswers?: Record<number, z.ZodType | null>;
  /** An answer that is not JSON, or besides JSON: its media type, and the schema of a line or event of it. */
  media?: { type: string; schema?: z.ZodType };
  /**
   * Error codes of its own, beside those that follow from what it takes (problems.ts). Tests refuse an answer with a
   * code that is neither.
   */
  problems?: readonly ErrorCode[];
  isPublic?: boolean;
  /** The change honours If-Match. */
  ifMatch?: boolean;
  /** A change that honours Idempotency-Key. */
  idempotent?: boolean;
  /**
   * A read whose answer follows from the ledger, the credential and the address alone, and has no headers of its own:
   * it is repeated while the ledger stays as it is (ledger-answers.ts). Not for what the clock or an agent has a say in.
   */
  isOfLedger?: boolean;
}

/** Where the codes of `problems` wait in the decorators' metadata for the document to be put together. */
export const OWN_PROBLEMS = 'x-own-problems';

/** A schema as OpenAPI 3.1 writes it; made from the very schema that parses, so the two cannot drift apart. */
export function openApiSchema(schema: z.ZodType, io: 'input' | 'output' = 'input'): JsonSchema {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, {
    target: 'draft-2020-12',
    io,
    unrepresentable: 'any',
  });
  return rest as JsonSchema;
}

/** Describes a controller's method for OpenAPI. */
export function Endpoint(description: EndpointDescription): MethodDecorator {
  const {
    summary,
    body,
    query,
    answer,
    status = 200,
    alsoAnswers = {},
    media,
    problems = [],
    isPublic,
    ifMatch,
    idempotent,
    isOfLedger,
  } = description;
  const decorators: MethodDecorator[] = [
    ApiOperation({ summary, description: description.description }),
    ApiExtension(OWN_PROBLEMS, problems),
    ApiResponse({ status, description: 'Success', ...contentOf(answer, media) }),
    ApiResponse({
      status: 'default',
      description: 'An error, with its stable code',
      content: { 'application/problem+json': { schema: written(openApiSchema(ProblemAnswer, 'output')) } },
    }),
  ];
  for (const [code, schema] of Object.entries(alsoAnswers)) {
    decorators.push(
      ApiResponse({ status: Number(code), description: 'Success', ...contentOf(schema ?? undefined) }),
    );
  }
  if (body) {
    // A body that is left out is read as {} (ZodPipe).
    const required = !z.safeParse(body, {}).success;
    decorators.push(ApiBody({ required, schema: written(openApiSchema(body)) }));
  }
  for (const [name, schema] of Object.entries(query?.shape ?? {})) {
    const isRequired = !z.safeParse(schema, undefined).success;
    decorators.push(
      ApiQuery({ name, required: isRequired, schema: written(openApiSchema(schema as z.ZodType)) }),
    );
  }
  if (!isPublic) decorators.push(ApiSecurity('token'), ApiSecurity('session'));
  if (ifMatch) {
    decorators.push(
      ApiHeader({ name: 'If-Match', required: false, description: 'ETag that you read; 412 if stale' }),
    );
  }
  if (isOfLedger) decorators.push(RouteConfig({ isOfLedger }) as MethodDecorator);
  // What is accepted and goes on in the background.
  if (status === 202) {
    decorators.push(
      ApiHeader({
        name: 'Operation-Deadline',
        required: false,
        description: 'Seconds within which the operation that it starts must have ended; else it is undone',
      }),
    );
  }
  if (idempotent) {
    decorators.push(
      UseInterceptors(IdempotencyInterceptor) as MethodDecorator,
      ApiHeader({
        name: 'Idempotency-Key',
        required: false,
        description: 'Repeating it repeats the answer, not the change',
      }),
    );
  }
  return applyDecorators(plainParameterTypes, ...decorators);
}

/** Nest's types know OpenAPI 3.0 only. */
const written = (schema: JsonSchema): Record<string, unknown> => schema as Record<string, unknown>;

function contentOf(
  answer: z.ZodType | undefined,
  media?: EndpointDescription['media'],
): { content?: Record<string, { schema: Record<string, unknown> }> } {
  const content: Record<string, { schema: Record<string, unknown> }> = {};
  if (answer) content['application/json'] = { schema: written(openApiSchema(answer, 'output')) };
  if (media) {
    const schema: JsonSchema = media.schema ? openApiSchema(media.schema, 'output') : { type: 'string' };
    content[media.type] = { schema: written(schema) };
  }
  return Object.keys(content).length === 0 ? {} : { content };
}

/**
 * A schema and the type made of it share one name, and so the compiler's metadata names the schema where a class is
 * looked for. The schemas are described above; here they are plain objects.
 */
const plainParameterTypes: MethodDecorator = (prototype, method) => {
  const types = (Reflect.getMetadata('design:paramtypes', prototype, method) ?? []) as unknown[];
  const plain = types.map((type) => (typeof type === 'function' ? type : Object));
  Reflect.defineMetadata('design:paramtypes', plain, prototype, method);
};
