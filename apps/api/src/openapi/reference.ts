/** The reference of the API as Markdown, made of what is published: one page for each resource of REST, one for GraphQL, one for errors. */
import { ERROR_CODES } from '@drvs/contracts';
import {
  buildSchema,
  type GraphQLArgument,
  type GraphQLField,
  type GraphQLNamedType,
  isEnumType,
  isInputObjectType,
  isObjectType,
  isSpecifiedScalarType,
} from 'graphql';
import { type JsonSchema, typesOf } from './examples.js';
import type { ApiDocument, MediaType, RouteOperation } from './whole-document.js';

const GENERATED = '<!-- Made of the code by `npm run reference`; changes here are lost. -->\n';
const METHODS = ['get', 'post', 'put', 'patch', 'delete'];
/** An example longer than this says less than the table of its fields. */
const EXAMPLE_CHARACTERS_MAX = 1_500;
/** Fields within fields are shown this deep; deeper ones are in the description itself. */
const FIELD_DEPTH_MAX = 3;

/** @returns the pages by their path below docs/api */
export function referencePages(document: ApiDocument, sdl: string): Map<string, string> {
  const pages = new Map<string, string>();
  const byTag = new Map<string, [path: string, method: string, operation: RouteOperation][]>();
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const method of METHODS) {
      const operation = methods[method];
      const tag = operation?.tags?.[0];
      if (operation && tag) byTag.set(tag, [...(byTag.get(tag) ?? []), [path, method, operation]]);
    }
  }
  const tags = [...byTag.keys()].sort();
  for (const tag of tags) pages.set(`rest/${tag}.md`, resourcePage(document, tag, byTag.get(tag) ?? []));
  pages.set('graphql.md', graphqlPage(sdl));
  pages.set('errors.md', errorsPage(document));
  pages.set('README.md', indexPage(document, byTag, tags));
  return pages;
}

function indexPage(
  document: ApiDocument,
  byTag: ReadonlyMap<string, [string, string, RouteOperation][]>,
  tags: readonly string[],
): string {
  const rows = tags.flatMap((tag) =>
    (byTag.get(tag) ?? []).map(([path, method, { summary, operationId }]) => [
      `[${method.toUpperCase()} ${path}](rest/${tag}.md#${anchor(operationId)})`,
      summary,
    ]),
  );
  return page(
    `The API of DRVS ${document.info.version}`,
    'How it is used in general is told in [REST and GraphQL](../api.md); what an administrator does with it in the ' +
      '[tasks](tasks/README.md). Programs in TypeScript have a typed client, `@drvs/client` (libs/client).',
    '- The description of REST: [openapi.json](../../apps/api/openapi.json), served at `/api/v1/openapi.json`\n' +
      '- The schema of GraphQL: [schema.graphql](../../apps/api/schema.graphql), by type in [graphql.md](graphql.md)\n' +
      '- [Errors](errors.md), the same for both\n' +
      '- What the last release promised: [baseline](baseline); CI refuses what breaks it without a new version',
    '## Routes of REST',
    table(['route', 'what it does'], rows),
  );
}

function resourcePage(
  document: ApiDocument,
  tag: string,
  routes: readonly [string, string, RouteOperation][],
): string {
  const about = document.tags?.find(({ name }) => name === tag)?.description;
  return page(
    `REST: ${tag}`,
    ...(about ? [`${about}.`] : []),
    ...routes.flatMap(([path, method, operation]) => route(document, path, method, operation)),
  );
}

function route(document: ApiDocument, path: string, method: string, operation: RouteOperation): string[] {
  const { summary, description, parameters = [], requestBody, responses, security } = operation;
  const parts = [
    `## ${operation.operationId}`,
    `\`${method.toUpperCase()} ${path}\``,
    `${sentence(summary)}`,
  ];
  if (description) parts.push(description);
  if ((security ?? []).length === 0) parts.push('Open to everybody.');
  if (parameters.length > 0) {
    parts.push(
      table(
        ['parameter', 'in', 'type', ''],
        parameters.map(({ name, in: place, required, schema, description: text }) => [
          `\`${name}\`${required ? '' : '?'}`,
          place,
          typeText(schema),
          [text, boundsText(schema)].filter(Boolean).join('; '),
        ]),
      ),
    );
  }
  const body = requestBody?.content['application/json'];
  if (body) parts.push('**Takes**', fieldTable(document, body.schema), ...exampleBlock(body));
  const otherBody = Object.keys(requestBody?.content ?? {}).find((type) => type !== 'application/json');
  if (otherBody) parts.push(`**Takes** \`${otherBody}\`.`);
  for (const [status, response] of Object.entries(responses)) {
    if (!/^2/.test(status)) continue;
    const types = Object.entries(response.content ?? {});
    if (types.length === 0) parts.push(`**Answers ${status}** without a body.`);
    for (const [type, media] of types) {
      const headers = Object.keys(response.headers ?? {}).map((name) => `\`${name}\``);
      const withHeaders = headers.length > 0 ? ` with ${headers.join(', ')}` : '';
      parts.push(`**Answers ${status}** \`${type}\`${withHeaders}`);
      if (type.endsWith('json')) parts.push(fieldTable(document, media.schema), ...exampleBlock(media));
    }
  }
  const codes = operation['x-problem-codes'] ?? [];
  if (codes.length > 0) {
    parts.push(`**Errors** ${codes.map((code) => `[${code}](../errors.md#${anchor(code)})`).join(', ')}`);
  }
  return parts;
}

function fieldTable(document: ApiDocument, schema: JsonSchema): string {
  const rows = fieldRows(document, schema, '', 0, new Set());
  return rows.length === 0 ? `${typeText(schema)}.` : table(['field', 'type', ''], rows);
}

function fieldRows(
  document: ApiDocument,
  schema: JsonSchema,
  prefix: string,
  depth: number,
  seen: ReadonlySet<string>,
): string[][] {
  const name = schema.$ref?.split('/').at(-1);
  if (name !== undefined) {
    const known = document.components.schemas[name];
    if (!known || seen.has(name)) return [];
    return fieldRows(document, known, prefix, depth, new Set([...seen, name]));
  }
  const inner = (each: JsonSchema, at: string): string[][] =>
    depth >= FIELD_DEPTH_MAX ? [] : fieldRows(document, each, at, depth + 1, seen);
  if (schema.items) return inner(schema.items, `${prefix}[]`);
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) {
    const objects = choices.filter((each) => each.$ref ?? each.properties ?? each.items);
    return objects.flatMap((each, index) => [
      ...(objects.length > 1 && depth === 0 ? [[`*shape ${index + 1}*`, typeText(each), '']] : []),
      ...fieldRows(document, each, prefix, depth, seen),
    ]);
  }
  return Object.entries(schema.properties ?? {}).flatMap(([property, each]) => {
    const at = prefix === '' ? property : `${prefix}.${property}`;
    const optional = schema.required?.includes(property) ? '' : '?';
    const text = [each.description, boundsText(each)].filter(Boolean).join('; ');
    return [[`\`${at}\`${optional}`, typeText(each), text], ...inner(each, at)];
  });
}

function typeText(schema: JsonSchema): string {
  if (schema.$ref) return schema.$ref.split('/').at(-1) ?? '';
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``;
  if (schema.enum) return schema.enum.map((each) => `\`${String(each)}\``).join(' ');
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return [...new Set(choices.map(typeText))].join(' or ');
  if (schema.items)
    return `list of ${typeText(schema.items)}${typesOf(schema).includes('null') ? ' or null' : ''}`;
  const { additionalProperties: values } = schema;
  if (typeof values === 'object' && !schema.properties) return `map of ${typeText(values) || 'anything'}`;
  const types = typesOf(schema).map((type) =>
    type === 'string' && schema.format === 'date-time' ? 'time' : type === 'string' ? 'text' : type,
  );
  return types.join(' or ') || 'anything';
}

function boundsText(schema: JsonSchema): string {
  const { minimum, maximum, minLength, maxLength, default: preset } = schema;
  return [
    minimum !== undefined && `from ${minimum}`,
    maximum !== undefined && `to ${maximum}`,
    minLength !== undefined && minLength > 1 && `at least ${minLength} characters`,
    maxLength !== undefined && `at most ${maxLength} characters`,
    preset !== undefined && `default \`${JSON.stringify(preset)}\``,
  ]
    .filter(Boolean)
    .join(', ');
}

function exampleBlock({ example }: MediaType): string[] {
  if (example === undefined) return [];
  const text = JSON.stringify(example, null, 2);
  return text.length > EXAMPLE_CHARACTERS_MAX ? [] : [`\`\`\`json\n${text}\n\`\`\``];
}

function errorsPage(document: ApiDocument): string {
  const usedBy = new Map<string, number>();
  for (const methods of Object.values(document.paths)) {
    for (const { 'x-problem-codes': codes = [] } of Object.values(methods)) {
      for (const code of codes) usedBy.set(code, (usedBy.get(code) ?? 0) + 1);
    }
  }
  return page(
    'Errors',
    'REST answers them as `application/problem+json` (RFC 9457), GraphQL in `extensions` of its errors, the command line with ' +
      '`--json` on standard error; the code is the same everywhere and stays. `detail` says what happened with the values that ' +
      'prove it, `hint` what to do, `field` which part of the request is meant, `details` holds data for programs ' +
      '(`retryAfterSeconds` where it is worth to wait).',
    table(
      ['code', 'status', 'what it says', 'routes'],
      Object.entries(ERROR_CODES).map(([code, { status, title }]) => [
        `<a id="${anchor(code)}"></a>\`${code}\``,
        String(status),
        title,
        String(usedBy.get(code) ?? 0),
      ]),
    ),
    `\`\`\`json\n${JSON.stringify(document.components.examples.InsufficientResources?.value, null, 2)}\n\`\`\``,
  );
}

function graphqlPage(sdl: string): string {
  const schema = buildSchema(sdl);
  const roots: [string, ReturnType<typeof schema.getQueryType>][] = [
    ['Queries', schema.getQueryType()],
    ['Mutations', schema.getMutationType()],
    ['Subscriptions', schema.getSubscriptionType()],
  ];
  const rootTypes = new Set(roots.map(([, type]) => type?.name));
  const types = Object.values(schema.getTypeMap())
    .filter(({ name }) => !name.startsWith('__') && !rootTypes.has(name))
    .filter((type) => !isSpecifiedScalarType(type) && !/(Connection|Edge)$/.test(type.name))
    .sort((a, b) => a.name.localeCompare(b.name));
  return page(
    'GraphQL',
    'At `/graphql`, with the same services, rights and errors as REST. Lists are connections (Relay): `nodes`, `edges { cursor node }`, ' +
      '`pageInfo { endCursor hasNextPage }`; `first` and `after` page through them. What goes on answers an `Operation`. ' +
      'Subscriptions are over `graphql-transport-ws` at the same address.',
    ...roots.flatMap(([title, type]) =>
      type
        ? [
            `## ${title}`,
            table(
              ['field', 'answers', ''],
              Object.values(type.getFields()).map((field) => [
                `\`${field.name}${argumentText(field)}\``,
                typeLink(String(field.type)),
                field.description ?? '',
              ]),
            ),
          ]
        : [],
    ),
    '## Types',
    ...types.flatMap(typePart),
  );
}

function typePart(type: GraphQLNamedType): string[] {
  const head = `### ${type.name}`;
  const about = type.description ? [`${type.description}`] : [];
  if (isEnumType(type)) {
    return [
      head,
      ...about,
      type
        .getValues()
        .map(({ name }) => `\`${name}\``)
        .join(' '),
    ];
  }
  if (!isObjectType(type) && !isInputObjectType(type)) return [head, ...about];
  const rows = Object.values(type.getFields()).map((field) => [
    `\`${field.name}${'args' in field ? argumentText(field as GraphQLField<unknown, unknown>) : ''}\``,
    typeLink(String(field.type)),
    field.description ?? '',
  ]);
  return [head, ...about, table(['field', 'type', ''], rows)];
}

function argumentText({ args }: { args: readonly GraphQLArgument[] }): string {
  if (args.length === 0) return '';
  const written = args.map(({ name, type, defaultValue }) => {
    const preset = defaultValue === undefined ? '' : ` = ${JSON.stringify(defaultValue)}`;
    return `${name}: ${String(type)}${preset}`;
  });
  return `(${written.join(', ')})`;
}

const BUILT_IN = /^(String|Int|Float|Boolean|ID)$/;

function typeLink(type: string): string {
  const name = type.replaceAll(/[![\]]/g, '');
  if (BUILT_IN.test(name) || /(Connection|Edge)$/.test(name)) return `\`${type}\``;
  return `[\`${type}\`](#${name.toLowerCase()})`;
}

const anchor = (text: string): string => text.toLowerCase().replaceAll(/[^a-z0-9-]/g, '');

const sentence = (text: string): string => (text.endsWith('.') ? text : `${text}.`);

function page(title: string, ...parts: string[]): string {
  return `${GENERATED}\n# ${title}\n\n${parts.join('\n\n')}\n`;
}

function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;
  return [line(headings), line(headings.map(() => '---')), ...rows.map(line)].join('\n');
}
