/** JSON Schema as far as the document uses it. */
export interface JsonSchema {
  type?: string | string[];
  properties?: Record<string, JsonSchema>;
  required?: string[];
  additionalProperties?: boolean | JsonSchema;
  propertyNames?: JsonSchema;
  items?: JsonSchema;
  prefixItems?: JsonSchema[];
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  example?: unknown;
  examples?: unknown[];
  format?: string;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  anyOf?: JsonSchema[];
  oneOf?: JsonSchema[];
  allOf?: JsonSchema[];
  $ref?: string;
  description?: string;
}

const UUID = '0199f3a2-7c41-7d2e-9b1a-5f0c2e8d4a11';
const EARLIER = '2026-03-02T09:30:00.000Z';

/** What a property of this name holds in an example; so that examples tell one story. */
const BY_NAME: Readonly<Record<string, readonly unknown[]>> = {
  id: [UUID],
  name: ['aula'],
  tenant: ['fisica'],
  user: ['ana'],
  requestedBy: ['user/ana'],
  actor: ['user/ana'],
  drvm: ['aula'],
  node: ['node1'],
  from: ['node1', '/data/in.csv'],
  to: ['node2', '/data/out.csv'],
  cpu: [2],
  memoryMiB: [1024],
  diskGiB: [8],
  networkMbps: [100],
  nodes: [2, ['node1', 'node2']],
  progress: [1],
  pid: [12],
  ppid: [1],
  index: [0],
  generation: [3],
  path: ['/data/in.csv'],
  program: ['/bin/primes'],
  command: ['primes'],
  subject: ['drvm/aula'],
  labels: [{ rack: 'a1' }],
  detail: [''],
  reason: ['it has the most that is free'],
  hint: ['Nothing has to be done.'],
  text: ['aula was started'],
  kind: ['drvm.start'],
  code: ['NotFound'],
  title: ['There is no such thing, or you may not see it'],
  password: ['correct horse battery staple'],
  token: ['drvs_4fK2…'],
  csrfToken: ['pT9c…'],
  agentVersion: ['0.1.0'],
  url: ['https://hooks.example.org/drvs'],
  email: ['ana@example.org'],
  cron: ['0 2 * * *'],
  since: ['120'],
  nextCursor: [null],
  error: [null],
  stdinPath: ['/data/in.csv'],
  signal: ['SIGTERM', null],
  mode: [420, '644'],
  hash: ['9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'],
};

/** Tried where a pattern does not allow what the name suggests. */
const STRINGS = [
  'aula',
  'node1',
  '1',
  '120',
  '/data/in.csv',
  '0 2 * * *',
  'https://hooks.example.org/drvs',
  '02:00',
];

/**
 * An example of a schema: its own where it has one, else one made of what properties of these names hold.
 * The same schema gives the same example. `resolve` gives what a `$ref` names.
 */
export function exampleOf(
  schema: JsonSchema,
  resolve: (reference: string) => JsonSchema = noReferences,
  name = '',
): unknown {
  if (schema.example !== undefined) return schema.example;
  if (schema.examples?.length) return schema.examples[0];
  if (schema.$ref !== undefined) return exampleOf(resolve(schema.$ref), resolve, name);
  if (schema.const !== undefined) return schema.const;
  for (const candidate of Object.hasOwn(BY_NAME, name) ? (BY_NAME[name] ?? []) : []) {
    if (fits(candidate, schema)) return candidate;
  }
  if (schema.default !== undefined && schema.default !== null) return schema.default;
  if (schema.enum?.length) return schema.enum[0];
  const [choice] = schema.anyOf ?? schema.oneOf ?? [];
  if (choice) return exampleOf(choice, resolve, name);
  if (schema.allOf) return Object.assign({}, ...schema.allOf.map((part) => exampleOf(part, resolve, name)));
  return ofType(typesOf(schema)[0], schema, resolve, name);
}

function ofType(
  type: string | undefined,
  schema: JsonSchema,
  resolve: (reference: string) => JsonSchema,
  name: string,
): unknown {
  switch (type) {
    case 'object': {
      const entries = Object.entries(schema.properties ?? {}).map(
        ([property, each]) => [property, exampleOf(each, resolve, property)] as const,
      );
      if (entries.length > 0) return Object.fromEntries(entries);
      const { additionalProperties: values, propertyNames, required = [] } = schema;
      if (typeof values === 'object' && propertyNames?.enum) {
        const keys = required.length > 0 ? required : propertyNames.enum.slice(0, 1).map(String);
        return Object.fromEntries(keys.map((key) => [key, exampleOf(values, resolve, key)]));
      }
      return typeof values === 'object' && Object.keys(values).length > 0
        ? { [typesOf(values)[0] === 'string' ? 'rack' : 'cpu']: exampleOf(values, resolve) }
        : {};
    }
    case 'array':
      if (schema.prefixItems) return schema.prefixItems.map((each) => exampleOf(each, resolve, name));
      return schema.items ? [exampleOf(schema.items, resolve, singular(name))] : [];
    case 'integer':
    case 'number':
      return clamp(1, schema);
    case 'boolean':
      return false;
    case 'null':
      return null;
    case 'string':
      return stringOf(schema, name);
    default:
      return {};
  }
}

function stringOf(schema: JsonSchema, name: string): string {
  if (schema.format === 'date-time') return EARLIER;
  if (schema.pattern === undefined && /(At|Until|Since|until)$/.test(name)) return EARLIER;
  if (schema.format === 'uuid' || /Id$/.test(name)) return UUID;
  if (schema.format === 'uri') return 'https://hooks.example.org/drvs';
  if (schema.format === 'email') return 'ana@example.org';
  return STRINGS.find((candidate) => fits(candidate, schema)) ?? 'a'.repeat(schema.minLength ?? 1);
}

function clamp(value: number, { minimum, maximum, exclusiveMinimum, exclusiveMaximum }: JsonSchema): number {
  const atLeast = Math.max(
    minimum ?? -Infinity,
    exclusiveMinimum === undefined ? -Infinity : exclusiveMinimum + 1,
  );
  const atMost = Math.min(
    maximum ?? Infinity,
    exclusiveMaximum === undefined ? Infinity : exclusiveMaximum - 1,
  );
  return Math.min(Math.max(value, atLeast), Math.max(atLeast, atMost));
}

export const typesOf = ({ type }: JsonSchema): string[] => (type === undefined ? [] : [type].flat());

/** Whether a simple value is one that the schema allows; objects are believed. */
function fits(value: unknown, schema: JsonSchema): boolean {
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return choices.some((each) => fits(value, each));
  if (schema.const !== undefined) return schema.const === value;
  if (schema.enum) return schema.enum.includes(value);
  const types = typesOf(schema);
  if (typeof value === 'string') {
    return (
      types.includes('string') &&
      (!FORMATS.has(schema.format ?? '') || schema.format === formatOf(value)) &&
      value.length >= (schema.minLength ?? 0) &&
      value.length <= (schema.maxLength ?? Infinity) &&
      (schema.pattern === undefined || new RegExp(schema.pattern, 'u').test(value))
    );
  }
  if (typeof value === 'number') {
    const isOfType = types.includes('number') || (types.includes('integer') && Number.isInteger(value));
    return isOfType && clamp(value, schema) === value;
  }
  if (value === null) return types.includes('null');
  if (Array.isArray(value))
    return types.includes('array') && value.every((item) => fits(item, schema.items ?? {}));
  return types.includes('object') && schema.properties === undefined;
}

/** Others are zod's own words for a pattern that stands beside them. */
const FORMATS = new Set(['uuid', 'date-time', 'uri', 'email']);

function formatOf(value: string): string | undefined {
  if (value === UUID) return 'uuid';
  if (value === EARLIER) return 'date-time';
  if (value.startsWith('https://')) return 'uri';
  return value.includes('@') ? 'email' : undefined;
}

const singular = (name: string): string => name.replace(/s$/, '');

function noReferences(reference: string): JsonSchema {
  throw new Error(`${reference} is not known here`);
}
