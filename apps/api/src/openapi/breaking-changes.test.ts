import { describe, expect, test } from '@jest/globals';
import { breakingChanges, type ComparedDocument } from './breaking-changes.js';

const one = (operation: object, schemas = {}): ComparedDocument => ({
  paths: { '/nodes/{node}': { post: operation } },
  components: { schemas },
});
const answering = (schema: object): ComparedDocument =>
  one({ responses: { 200: { content: { 'application/json': { schema } } } } });
const taking = (schema: object): ComparedDocument =>
  one({ requestBody: { content: { 'application/json': { schema } } } });
const object = (properties: object, required = Object.keys(properties)): object => ({
  type: 'object',
  properties,
  required,
});
const text = { type: 'string' };

describe('a route', () => {
  test('that is gone breaks its clients; one that is new, or names its parameter anew, does not', () => {
    const before: ComparedDocument = { paths: { '/a': { get: {} }, '/b/{b}': { get: {} } } };
    const after: ComparedDocument = { paths: { '/b/{other}': { get: {}, post: {} }, '/c': { get: {} } } };
    expect(breakingChanges(before, after)).toEqual(['GET /a is gone']);
    expect(breakingChanges(before, before)).toEqual([]);
  });

  test('keeps its statuses, media types, parameters and errors, and does not want more', () => {
    const old = one({
      parameters: [{ name: 'limit', in: 'query' }],
      responses: { 200: { content: { 'text/csv': {} } }, 202: {}, 404: {} },
      'x-problem-codes': ['NotFound', 'StateConflict'],
    });
    const now = one({
      parameters: [{ name: 'since', in: 'query', required: true }],
      responses: { 200: { content: {} } },
      'x-problem-codes': ['NotFound'],
      security: [{ token: [] }],
    });
    expect(breakingChanges(old, now)).toEqual([
      'POST /nodes/{node} now wants somebody who is signed in',
      'POST /nodes/{node} now wants the query parameter since',
      'POST /nodes/{node} no longer takes the query parameter limit',
      'POST /nodes/{node} no longer answers 200 as text/csv',
      'POST /nodes/{node} no longer answers 202',
      'POST /nodes/{node} no longer tells of the error StateConflict',
    ]);
  });
});

describe('an answer', () => {
  test('may get properties and members; it may not lose them, nor become another type', () => {
    const old = answering(object({ id: text, count: { type: 'integer' }, state: { enum: ['up'] } }));
    const more = answering(
      object({ id: text, count: { type: 'integer' }, state: { enum: ['up', 'off'] }, extra: text }),
    );
    expect(breakingChanges(old, more)).toEqual([]);
    const less = answering(object({ count: { type: 'string' }, state: { enum: ['up'] } }, ['count']));
    expect(breakingChanges(old, less)).toEqual([
      'POST /nodes/{node} 200.id is gone',
      'POST /nodes/{node} 200.count was integer and is string',
      'POST /nodes/{node} 200.state may now be left out',
    ]);
  });

  test('that was never null may not become so; the other way round is kept', () => {
    const always = answering(object({ id: text }));
    const sometimes = answering(object({ id: { type: ['string', 'null'] } }));
    expect(breakingChanges(always, sometimes)).toEqual([
      'POST /nodes/{node} 200.id was string and is string or null',
    ]);
    expect(breakingChanges(sometimes, always)).toEqual([]);
  });

  test('is looked through: references, lists, and shapes told apart by a constant', () => {
    const step = (action: string, properties: object): object =>
      object({ action: { type: 'string', const: action }, ...properties });
    const document = (steps: object[]): ComparedDocument =>
      one(
        {
          responses: {
            200: { content: { 'application/json': { schema: { $ref: '#/components/schemas/Plan' } } } },
          },
        },
        { Plan: object({ steps: { type: 'array', items: { anyOf: steps } } }) },
      );
    const old = document([step('cordon', { node: text }), step('move', { pid: text })]);
    expect(
      breakingChanges(
        old,
        document([step('resize', {}), step('move', { pid: text }), step('cordon', { node: text })]),
      ),
    ).toEqual([]);
    expect(breakingChanges(old, document([step('move', {}), step('cordon', { node: text })]))).toEqual([
      'POST /nodes/{node} 200.steps[].pid is gone',
    ]);
  });
});

test('shapes without a constant are told apart by their properties', () => {
  const page = object({ items: { type: 'array' }, nextCursor: text });
  const file = object({ path: text, size: { type: 'integer' } });
  const old = answering({ anyOf: [page, file] });
  expect(breakingChanges(old, answering({ anyOf: [file, page] }))).toEqual([]);
  expect(breakingChanges(old, answering({ anyOf: [page, object({ path: text })] }))).toEqual([
    'POST /nodes/{node} 200.size is gone',
  ]);
});

describe('a request', () => {
  test('may take more; it may not want more, nor take less', () => {
    const old = taking(object({ name: text, mode: { type: 'string', enum: ['a', 'b'] } }, ['name']));
    expect(
      breakingChanges(
        old,
        taking(object({ name: text, mode: { type: 'string', enum: ['a', 'b', 'c'] }, more: text }, [])),
      ),
    ).toEqual([]);
    const narrow = {
      ...object({ name: { type: 'string', maxLength: 5, pattern: '^x' }, extra: text }),
      additionalProperties: false,
    };
    expect(breakingChanges(old, taking(narrow))).toEqual([
      'POST /nodes/{node} body.extra is now wanted',
      'POST /nodes/{node} body.name has a lower maxLength',
      'POST /nodes/{node} body.name wants another pattern: ^x',
      'POST /nodes/{node} body.mode is no longer taken',
    ]);
    expect(
      breakingChanges(old, taking(object({ name: text, mode: { type: 'string', enum: ['b'] } }, ['name']))),
    ).toEqual(['POST /nodes/{node} body.mode no longer takes "a"']);
  });

  test('keeps its shapes', () => {
    const kind = (value: string): object => object({ kind: { type: 'string', const: value } });
    const old = taking({ anyOf: [kind('balance'), kind('drain')] });
    expect(breakingChanges(old, taking({ anyOf: [kind('drain'), kind('power'), kind('balance')] }))).toEqual(
      [],
    );
    expect(breakingChanges(old, taking({ anyOf: [kind('drain')] }))).toEqual([
      'POST /nodes/{node} body no longer takes one of its shapes',
    ]);
  });
});
