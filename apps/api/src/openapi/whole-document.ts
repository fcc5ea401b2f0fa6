/**
 * Makes of what Nest gathers from the decorators the document that is published: named components instead of
 * repetitions, every error that a route can answer by its status, headers, and an example of every body.
 */
import { ERROR_CODES, type ErrorCode, type Problem } from '@drvs/contracts';
import type { OpenAPIObject } from '@nestjs/swagger';
import { OWN_PROBLEMS } from './endpoint.js';
import { exampleOf, type JsonSchema, typesOf } from './examples.js';
import { problemCodesOf } from './problems.js';

export interface MediaType {
  schema: JsonSchema;
  example?: unknown;
  examples?: Record<string, unknown>;
}

export interface Response {
  description: string;
  headers?: Record<string, { description: string; schema: JsonSchema }>;
  content?: Record<string, MediaType>;
  $ref?: string;
}

export interface Parameter {
  name: string;
  in: 'path' | 'query' | 'header' | 'cookie';
  required?: boolean;
  description?: string;
  schema: JsonSchema;
}

export interface RouteOperation {
  operationId: string;
  summary: string;
  description?: string;
  tags?: string[];
  parameters?: Parameter[];
  requestBody?: { required?: boolean; content: Record<string, MediaType> };
  responses: Record<string, Response>;
  security?: Record<string, string[]>[];
  'x-problem-codes'?: string[];
}

/** The published document. */
export interface ApiDocument {
  openapi: string;
  info: { title: string; version: string; description?: string };
  tags?: { name: string; description?: string }[];
  paths: Record<string, Record<string, RouteOperation>>;
  components: {
    schemas: Record<string, JsonSchema>;
    responses: Record<string, Response>;
    examples: Record<string, { summary: string; value: Problem }>;
    securitySchemes: Record<string, unknown>;
  };
}

const TAGS: Readonly<Record<string, string>> = {
  auth: 'Signing in and out',
  nodes: 'The machines of the cluster and what they offer',
  tenants: 'Departments and their quotas',
  users: 'People and their roles',
  tokens: 'Secrets for programs',
  drvms: 'Virtual machines over one or more nodes',
  processes: 'Programs that run in a DRVM',
  files: 'The files of a DRVM',
  allocations: 'Who holds what on which node',
  plans: 'What to move where, and why',
  power: 'How nodes are switched off and on',
  energy: 'What nodes draw, for whom, and what was saved',
  failures: 'Nodes that fell silent, and what was done',
  operations: 'Work that takes time',
  events: 'What happened',
  audit: 'Who did what',
  agents: 'How a node joins',
  alerts: 'What is watched, and who is told',
  description: 'The API itself',
  devices: 'Single devices of nodes, sites and racks',
  loans: 'CPU that idle DRVMs lend to others',
  schedules: 'Plans that are made at certain times',
  settings: 'What may be set',
  telemetry: 'What was measured',
  templates: 'DRVMs that are made alike',
  usage: 'What departments held and used',
  webhooks: 'Events sent to other systems',
};
const PATH_PARAMETERS: Readonly<Record<string, { description: string; example: string | number }>> = {
  drvm: { description: 'Id, name, or tenant~name', example: 'aula' },
  node: { description: 'Name or id', example: 'node1' },
  tenant: { description: 'Name or id', example: 'fisica' },
  user: { description: 'Name or id', example: 'ana' },
  pid: { description: 'Number of the process in its DRVM', example: 12 },
};
const PROBLEM = '#/components/schemas/Problem';

/** @param names by the text of a schema, the component that it is (see namedSchemas) */
export function wholeDocument(gathered: OpenAPIObject, names: ReadonlyMap<string, string>): ApiDocument {
  const { openapi, info, components } = gathered;
  const schemas = new Map<string, JsonSchema>();
  const paths: ApiDocument['paths'] = {};
  for (const path of Object.keys(gathered.paths).sort()) {
    const methods: Record<string, RouteOperation> = {};
    for (const [method, operation] of Object.entries(gathered.paths[path] ?? {})) {
      methods[method] = route(operation as RouteOperation & Record<string, unknown>, names, schemas);
    }
    paths[path] = methods;
  }
  const tags = new Set(
    Object.values(paths).flatMap((each) => Object.values(each).flatMap(({ tags: own = [] }) => own)),
  );
  return {
    openapi,
    info: { title: info.title, version: info.version, description: info.description },
    tags: [...tags].map((name) => ({ name, description: TAGS[name] })),
    paths,
    components: {
      schemas: Object.fromEntries([...schemas].sort(([a], [b]) => a.localeCompare(b))),
      responses: problemResponses(),
      examples: problemExamples(),
      securitySchemes: components?.securitySchemes ?? {},
    },
  };
}

function route(
  { [OWN_PROBLEMS]: own, ...operation }: RouteOperation & Record<string, unknown>,
  names: ReadonlyMap<string, string>,
  schemas: Map<string, JsonSchema>,
): RouteOperation {
  const parameters = (operation.parameters ?? []).map(parameter);
  const refer = (schema: JsonSchema): JsonSchema => named(schema, names, schemas);
  const content = (given: Record<string, MediaType>, io: 'input' | 'output'): Record<string, MediaType> =>
    Object.fromEntries(
      Object.entries(given).map(([type, { schema }]) => {
        const whole = tidy(schema, io);
        const isJson = type.endsWith('json');
        return [type, { schema: refer(whole), ...(isJson ? { example: exampleOf(whole) } : {}) }];
      }),
    );
  const responses: Record<string, Response> = {};
  for (const [status, { description, content: given }] of Object.entries(operation.responses)) {
    if (status === 'default') continue;
    const answer = given ? content(given, 'output') : undefined;
    const headers = headersOf(status, answer, schemas);
    responses[status] = {
      description,
      ...(Object.keys(headers).length > 0 ? { headers } : {}),
      ...(answer ? { content: answer } : {}),
    };
  }
  const body = operation.requestBody;
  const has = (place: Parameter['in'], name?: string): boolean =>
    parameters.some((each) => each.in === place && (name === undefined || each.name === name));
  const codes = problemCodesOf(
    {
      isPublic: (operation.security ?? []).length === 0,
      takesInput: has('path') || has('query') || body !== undefined,
      takesBody: body !== undefined,
      honoursIfMatch: has('header', 'If-Match'),
      honoursIdempotencyKey: has('header', 'Idempotency-Key'),
    },
    (own ?? []) as ErrorCode[],
  );
  return {
    operationId: operation.operationId,
    summary: operation.summary,
    ...(operation.description ? { description: operation.description } : {}),
    tags: operation.tags,
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(body ? { requestBody: { required: body.required, content: content(body.content, 'input') } } : {}),
    responses: { ...responses, ...problemsByStatus(codes) },
    ...(operation.security ? { security: operation.security } : {}),
    'x-problem-codes': codes,
  };
}

function parameter({ name, in: place, required, description, schema }: Parameter): Parameter {
  const known = place === 'path' ? PATH_PARAMETERS[name] : undefined;
  const text = description ?? known?.description;
  return {
    name,
    in: place,
    required: required ?? false,
    ...(text ? { description: text } : {}),
    schema: { ...tidy(schema, 'input'), ...(known ? { example: known.example } : {}) },
  };
}

function headersOf(
  status: string,
  answer: Record<string, MediaType> | undefined,
  schemas: ReadonlyMap<string, JsonSchema>,
): NonNullable<Response['headers']> {
  const schema = answer?.['application/json']?.schema;
  const whole = schema?.$ref ? schemas.get(schema.$ref.split('/').at(-1) ?? '') : schema;
  const headers: NonNullable<Response['headers']> = {};
  if (whole?.properties?.generation) {
    headers.ETag = {
      description: 'Its generation, for If-Match',
      schema: { type: 'string', example: '"3"' },
    };
  }
  if (status === '202') {
    headers.Location = { description: 'The operation, where one was begun', schema: { type: 'string' } };
  }
  return headers;
}

/** Without what says nothing: bounds of safe integers, patterns beside a format, unions with null as two schemas. */
export function tidy(schema: JsonSchema, io: 'input' | 'output'): JsonSchema {
  const mapped = mapSchema(schema, (each) => tidy(each, io));
  const { anyOf, ...rest } = mapped;
  if (rest.minimum === Number.MIN_SAFE_INTEGER) delete rest.minimum;
  if (rest.maximum === Number.MAX_SAFE_INTEGER) delete rest.maximum;
  // The format says it already, in one word instead of a line.
  if (rest.format === 'date-time') delete rest.pattern;
  // Fields may be added to what is answered; a client has to bear them.
  if (io === 'output' && rest.additionalProperties === false) delete rest.additionalProperties;
  const [value, nothing] = anyOf ?? [];
  const isNullable = anyOf?.length === 2 && nothing?.type === 'null' && Object.keys(nothing).length === 1;
  if (isNullable && value && typesOf(value).length > 0 && !value.enum && value.const === undefined) {
    return { ...value, ...rest, type: [...typesOf(value), 'null'] };
  }
  return anyOf ? { ...rest, anyOf } : rest;
}

/** The same schema with each one directly inside it replaced. */
export function mapSchema(schema: JsonSchema, each: (schema: JsonSchema) => JsonSchema): JsonSchema {
  const mapped = { ...schema };
  if (schema.properties) {
    mapped.properties = Object.fromEntries(
      Object.entries(schema.properties).map(([name, property]) => [name, each(property)]),
    );
  }
  if (typeof schema.additionalProperties === 'object') {
    mapped.additionalProperties = each(schema.additionalProperties);
  }
  if (schema.items) mapped.items = each(schema.items);
  for (const key of ['anyOf', 'oneOf', 'allOf', 'prefixItems'] as const) {
    const list = schema[key];
    if (list) mapped[key] = list.map(each);
  }
  return mapped;
}

/** The schema with what has a name replaced by a reference; `schemas` gathers what is referred to. */
function named(
  schema: JsonSchema,
  names: ReadonlyMap<string, string>,
  schemas: Map<string, JsonSchema>,
): JsonSchema {
  const types = typesOf(schema);
  // An object that may be null is that object, or null.
  if (types.length === 2 && types.includes('null') && schema.properties) {
    const { description, ...rest } = schema;
    const object = named({ ...rest, type: 'object' }, names, schemas);
    if (object.$ref) return { ...(description ? { description } : {}), anyOf: [object, { type: 'null' }] };
  }
  const name = names.get(JSON.stringify(schema));
  if (name === undefined) return mapSchema(schema, (each) => named(each, names, schemas));
  if (!schemas.has(name)) {
    schemas.set(name, schema);
    schemas.set(
      name,
      mapSchema(schema, (each) => named(each, names, schemas)),
    );
  }
  return { $ref: `#/components/schemas/${name}` };
}

function problemsByStatus(codes: readonly ErrorCode[]): Record<string, Response> {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of codes) {
    const { status } = ERROR_CODES[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  const responses: Record<string, Response> = {};
  for (const [status, own] of byStatus) {
    const [code] = own;
    responses[status] =
      own.length === 1
        ? ({ $ref: `#/components/responses/${code}` } as Response)
        : {
            description: own.map((each) => `${each}: ${ERROR_CODES[each].title}`).join('; '),
            content: {
              'application/problem+json': {
                schema: { $ref: PROBLEM },
                examples: Object.fromEntries(
                  own.map((each) => [each, { $ref: `#/components/examples/${each}` }]),
                ),
              },
            },
          };
  }
  return responses;
}

function problemResponses(): Record<string, Response> {
  return Object.fromEntries(
    Object.entries(ERROR_CODES).map(([code, { title }]) => [
      code,
      {
        description: `${code}: ${title}`,
        content: {
          'application/problem+json': {
            schema: { $ref: PROBLEM },
            examples: { [code]: { $ref: `#/components/examples/${code}` } },
          },
        },
      },
    ]),
  );
}

function problemExamples(): ApiDocument['components']['examples'] {
  return Object.fromEntries(
    (Object.keys(ERROR_CODES) as ErrorCode[]).map((code) => {
      const { status, title } = ERROR_CODES[code];
      const detail = 'What happened, with the values that prove it.';
      const value: Problem = {
        type: `urn:drvs:problem:${code}`,
        title,
        status,
        code,
        detail,
        hint: 'What to do about it.',
      };
      return [code, { summary: title, value }];
    }),
  );
}
