import { describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { openApiSchema } from './endpoint.js';
import { exampleOf } from './examples.js';

const example = (schema: z.ZodType): unknown => exampleOf(openApiSchema(schema));

describe('an example', () => {
  test('holds what a property of this name usually holds', () => {
    expect(example(z.object({ name: z.string(), cpu: z.number(), nodes: z.array(z.string()) }))).toEqual({
      name: 'aula',
      cpu: 2,
      nodes: ['node1', 'node2'],
    });
  });

  test('keeps to bounds, enumerations, constants, patterns and formats', () => {
    const schema = z.object({
      cpu: z.number().max(0.5),
      name: z.enum(['one', 'two']),
      kind: z.literal('drain'),
      limit: z.int().min(5),
      id: z.string().regex(/^\d+$/),
      endsAt: z.iso.datetime(),
      tenant: z.string().nullable(),
    });
    const made = example(schema);
    expect(schema.safeParse(made)).toMatchObject({ success: true });
    expect(made).toMatchObject({ kind: 'drain', name: 'one', limit: 5 });
  });

  test('is the one that the schema has itself', () => {
    expect(example(z.object({ name: z.string().meta({ example: 'own' }) }))).toEqual({ name: 'own' });
  });

  test('takes the first of several shapes', () => {
    expect(example(z.union([z.object({ a: z.boolean() }), z.object({ b: z.int() })]))).toEqual({ a: false });
    expect(example(z.record(z.string(), z.string()))).toEqual({ rack: expect.any(String) });
  });
});
