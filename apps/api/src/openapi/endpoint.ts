import 'reflect-metadata';
import { applyDecorators } from '@nestjs/common';
import { ApiBody, ApiHeader, ApiOperation, ApiQuery, ApiResponse, ApiSecurity } from '@nestjs/swagger';
import { z } from 'zod';
import { ProblemAnswer } from './answers.js';

export interface EndpointDescription {
  summary: string;
  description?: string;
  body?: z.ZodType;
  query?: z.ZodObject;
  /** What a success answers. */
  answer?: z.ZodType;
  status?: number;
  /** Other successes, for instance the plan of a dry run. */
  alsoAnswers?: Record<number, z.ZodType>;
  isPublic?: boolean;
  /** The change honours If-Match. */
  ifMatch?: boolean;
  /** A change that honours Idempotency-Key. */
  idempotent?: boolean;
}

/** A schema as OpenAPI 3.0 writes it; made from the very schema that parses, so the two cannot drift apart. */
function openApiSchema(schema: z.ZodType, io: 'input' | 'output' = 'input'): Record<string, unknown> {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, {
    target: 'openapi-3.0',
    io,
    unrepresentable: 'any',
  });
  return rest;
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
    isPublic,
    ifMatch,
    idempotent,
  } = description;
  const decorators: MethodDecorator[] = [
    ApiOperation({ summary, description: description.description }),
    ApiResponse({
      status,
      description: 'Success',
      ...(answer ? { content: { 'application/json': { schema: openApiSchema(answer, 'output') } } } : {}),
    }),
    ApiResponse({
      status: 'default',
      description: 'An error, with its stable code',
      content: { 'application/problem+json': { schema: openApiSchema(ProblemAnswer, 'output') } },
    }),
  ];
  for (const [code, schema] of Object.entries(alsoAnswers)) {
    decorators.push(
      ApiResponse({
        status: Number(code),
        description: 'Success',
        content: { 'application/json': { schema: openApiSchema(schema, 'output') } },
      }),
    );
  }
  if (body) decorators.push(ApiBody({ schema: openApiSchema(body) }));
  for (const [name, schema] of Object.entries(query?.shape ?? {})) {
    const isRequired = !z.safeParse(schema, undefined).success;
    decorators.push(ApiQuery({ name, required: isRequired, schema: openApiSchema(schema as z.ZodType) }));
  }
  if (!isPublic) decorators.push(ApiSecurity('token'), ApiSecurity('session'));
  if (ifMatch) {
    decorators.push(
      ApiHeader({ name: 'If-Match', required: false, description: 'ETag that you read; 412 if stale' }),
    );
  }
  if (idempotent) {
    decorators.push(
      ApiHeader({
        name: 'Idempotency-Key',
        required: false,
        description: 'Repeating it repeats the answer, not the change',
      }),
    );
  }
  return applyDecorators(plainParameterTypes, ...decorators);
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
