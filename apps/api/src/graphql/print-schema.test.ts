import { readFile, writeFile } from 'node:fs/promises';
import { expect, test } from '@jest/globals';
import { printedSchema } from './print-schema.js';

const file = new URL('../../schema.graphql', import.meta.url);

// With UPDATE_SCHEMA=1 this test writes the file; it is changed on purpose only, since the portal is built from it.
test('apps/api/schema.graphql is what the code serves', async () => {
  const schema = await printedSchema();
  if (process.env.UPDATE_SCHEMA) await writeFile(file, schema);
  expect(await readFile(file, 'utf8')).toBe(schema);
});
