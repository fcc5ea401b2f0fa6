/**
 * What of an older description of REST a newer one no longer keeps: what a client that was written for the old one would
 * run into. Pure, and without imports, so that a script can run it as it stands.
 *
 * A client may count on every route and its parameters, on every property of an answer, and on every value of a
 * request. It has to bear properties that are added to answers, and members added to their enumerations.
 */

interface Schema {
  $ref?: string;
  type?: string | string[];
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  enum?: unknown[];
  const?: unknown;
  additionalProperties?: boolean | Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  pattern?: string;
  [other: string]: unknown;
}

interface Parameter {
  name: string;
  in: string;
  required?: boolean;
  schema?: Schema;
}

interface Operation {
  parameters?: Parameter[];
  requestBody?: { required?: boolean; content?: Record<string, { schema?: Schema }> };
  responses?: Record<string, { content?: Record<string, { schema?: Schema }> }>;
  security?: unknown[];
  'x-problem-codes'?: string[];
}

export interface ComparedDocument {
  paths: Record<string, Record<string, Operation>>;
  components?: { schemas?: Record<string, Schema> };
}

/** Schemas may refer to themselves; what lies deeper than this has been compared before. */
const DEPTH_MAX = 24;

/** @returns one sentence for each break, in the order of the old description; empty when there is none */
export function breakingChanges(before: ComparedDocument, after: ComparedDocument): string[] {
  const broken: string[] = [];
  for (const [path, methods] of Object.entries(before.paths)) {
    for (const [method, old] of Object.entries(methods)) {
      const route = `${method.toUpperCase()} ${path}`;
      const now = findPath(after, path)?.[method];
      if (now) compareOperations(route, old, now, new Comparison(before, after, broken));
      else broken.push(`${route} is gone`);
    }
  }
  return broken;
}

/** The route of this shape; the names of its parameters may change, since they are not sent. */
function findPath({ paths }: ComparedDocument, path: string): Record<string, Operation> | undefined {
  const shape = (template: string): string => template.replaceAll(/\{\w+\}/g, '{}');
  return paths[path] ?? paths[Object.keys(paths).find((each) => shape(each) === shape(path)) ?? ''];
}

function compareOperations(route: string, old: Operation, now: Operation, comparison: Comparison): void {
  const { broken } = comparison;
  if ((old.security ?? []).length === 0 && (now.security ?? []).length > 0) {
    broken.push(`${route} now wants somebody who is signed in`);
  }
  for (const parameter of now.parameters ?? []) {
    if (parameter.in === 'path') continue;
    const known = old.parameters?.find((each) => each.in === parameter.in && each.name === parameter.name);
    if (parameter.required && !known?.required) {
      broken.push(`${route} now wants the ${parameter.in} parameter ${parameter.name}`);
    }
    if (known?.schema && parameter.schema) {
      comparison.taken(`${route} ?${parameter.name}`, known.schema, parameter.schema);
    }
  }
  for (const { in: place, name } of old.parameters ?? []) {
    const isKept = now.parameters?.some((each) => each.in === place && each.name === name);
    if (place !== 'path' && !isKept) broken.push(`${route} no longer takes the ${place} parameter ${name}`);
  }
  if (now.requestBody?.required && !old.requestBody) broken.push(`${route} now wants a body`);
  for (const [type, { schema }] of Object.entries(old.requestBody?.content ?? {})) {
    const media = now.requestBody?.content?.[type];
    if (!media) broken.push(`${route} no longer takes ${type}`);
    else if (schema && media.schema) comparison.taken(`${route} body`, schema, media.schema);
  }
  const oldCodes = old['x-problem-codes'] ?? [];
  for (const [status, { content = {} }] of Object.entries(old.responses ?? {})) {
    if (!/^2/.test(status)) continue;
    const response = now.responses?.[status];
    if (!response) {
      broken.push(`${route} no longer answers ${status}`);
      continue;
    }
    for (const [type, { schema }] of Object.entries(content)) {
      const media = response.content?.[type];
      if (!media) broken.push(`${route} no longer answers ${status} as ${type}`);
      else if (schema && media.schema) comparison.given(`${route} ${status}`, schema, media.schema);
    }
  }
  for (const code of oldCodes) {
    if (!now['x-problem-codes']?.includes(code)) broken.push(`${route} no longer tells of the error ${code}`);
  }
}

class Comparison {
  readonly before: ComparedDocument;
  readonly after: ComparedDocument;
  readonly broken: string[];

  constructor(before: ComparedDocument, after: ComparedDocument, broken: string[]) {
    this.before = before;
    this.after = after;
    this.broken = broken;
  }

  /** Of an answer: what was promised is still there. */
  given(at: string, was: Schema, is: Schema, depth = 0): void {
    const old = resolve(this.before, was);
    const now = resolve(this.after, is);
    if (depth > DEPTH_MAX) return;
    const oldChoices = choicesOf(old);
    if (oldChoices) {
      const choices = choicesOf(now) ?? [now];
      oldChoices.forEach((choice, index) => {
        const match = this.#likest(choice, choices) ?? choices[index];
        if (match) this.given(at, choice, match, depth + 1);
        else this.broken.push(`${at} no longer has one of its shapes`);
      });
      return;
    }
    const [first] = choicesOf(now) ?? [now];
    if (first === undefined) return;
    const type = resolve(this.after, first);
    if (!this.#types(at, old, type, 'given')) return;
    for (const [name, property] of Object.entries(old.properties ?? {})) {
      const kept = type.properties?.[name];
      if (!kept) {
        this.broken.push(`${at}.${name} is gone`);
        continue;
      }
      const wasAlways = old.required?.includes(name) ?? false;
      if (wasAlways && !type.required?.includes(name)) this.broken.push(`${at}.${name} may now be left out`);
      this.given(`${at}.${name}`, property, kept, depth + 1);
    }
    if (old.items && type.items) this.given(`${at}[]`, old.items, type.items, depth + 1);
  }

  /** Of a request: what was taken is still taken. */
  taken(at: string, was: Schema, is: Schema, depth = 0): void {
    const old = resolve(this.before, was);
    const now = resolve(this.after, is);
    if (depth > DEPTH_MAX) return;
    const oldChoices = choicesOf(old) ?? [old];
    const choices = choicesOf(now) ?? [now];
    if (oldChoices.length > 1 || choices.length > 1) {
      oldChoices.forEach((choice, index) => {
        const match =
          this.#likest(choice, choices) ??
          (choices.length === oldChoices.length ? choices[index] : undefined);
        if (match) this.taken(at, choice, match, depth + 1);
        else this.broken.push(`${at} no longer takes one of its shapes`);
      });
      return;
    }
    if (!this.#types(at, old, now, 'taken')) return;
    for (const name of now.required ?? []) {
      if (!old.required?.includes(name)) this.broken.push(`${at}.${name} is now wanted`);
    }
    for (const [name, property] of Object.entries(old.properties ?? {})) {
      const kept = now.properties?.[name];
      if (kept) this.taken(`${at}.${name}`, property, kept, depth + 1);
      else if (now.additionalProperties === false) this.broken.push(`${at}.${name} is no longer taken`);
    }
    if (old.items && now.items) this.taken(`${at}[]`, old.items, now.items, depth + 1);
    for (const member of old.enum ?? []) {
      const isTaken = now.enum ? now.enum.includes(member) : now.const === undefined || now.const === member;
      if (!isTaken) this.broken.push(`${at} no longer takes ${JSON.stringify(member)}`);
    }
    if (old.const !== undefined && now.const !== undefined && old.const !== now.const) {
      this.broken.push(`${at} no longer takes ${JSON.stringify(old.const)}`);
    }
    if (!old.enum && old.const === undefined && (now.enum || now.const !== undefined)) {
      this.broken.push(`${at} now takes certain values only`);
    }
    for (const bound of ['minimum', 'minLength'] as const) {
      if ((now[bound] ?? -Infinity) > (old[bound] ?? -Infinity))
        this.broken.push(`${at} has a higher ${bound}`);
    }
    for (const bound of ['maximum', 'maxLength'] as const) {
      if ((now[bound] ?? Infinity) < (old[bound] ?? Infinity)) this.broken.push(`${at} has a lower ${bound}`);
    }
    if (now.pattern !== undefined && now.pattern !== old.pattern) {
      this.broken.push(`${at} wants another pattern: ${now.pattern}`);
    }
  }

  #types(at: string, old: Schema, now: Schema, direction: 'given' | 'taken'): boolean {
    const was = typesOf(old);
    const is = typesOf(now);
    if (was.length === 0 || is.length === 0) return true;
    // What is given may be less than was promised possible; what is taken may be more than was.
    const [subset, superset] = direction === 'given' ? [is, was] : [was, is];
    const fits = subset.every(
      (type) => superset.includes(type) || (type === 'integer' && superset.includes('number')),
    );
    if (!fits) this.broken.push(`${at} was ${was.join(' or ')} and is ${is.join(' or ')}`);
    return fits;
  }

  /** The choice that is told apart in the same way: by its constants or its type, and then by its properties. */
  #likest(choice: Schema, among: readonly Schema[]): Schema | undefined {
    const old = resolve(this.before, choice);
    const mark = marksOf(old);
    const names = Object.keys(old.properties ?? {});
    const shared = (each: Schema): number => {
      const { properties = {} } = resolve(this.after, each);
      return names.filter((name) => name in properties).length;
    };
    return among
      .filter((each) => marksOf(resolve(this.after, each)) === mark)
      .sort((a, b) => shared(b) - shared(a))[0];
  }
}

const choicesOf = ({ anyOf, oneOf }: Schema): Schema[] | undefined => anyOf ?? oneOf;

function marksOf(schema: Schema): string {
  const constants = Object.entries(schema.properties ?? {})
    .filter(([, { const: value }]) => value !== undefined)
    .map(([name, { const: value }]) => [name, value]);
  return JSON.stringify([typesOf(schema), constants]);
}

const typesOf = ({ type }: Schema): string[] => (type === undefined ? [] : [type].flat());

function resolve({ components }: ComparedDocument, schema: Schema): Schema {
  const name = schema.$ref?.split('/').at(-1);
  return name === undefined ? schema : (components?.schemas?.[name] ?? {});
}
