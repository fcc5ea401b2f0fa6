import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { printedSchema } from '../graphql/print-schema.js';
import { printedDocument } from './print-document.js';
import { referencePages } from './reference.js';
import type { ApiDocument } from './whole-document.js';

const folder = fileURLToPath(new URL('../../../../docs/api/', import.meta.url));

let document: ApiDocument;
let pages: Map<string, string>;
beforeAll(async () => {
  document = await printedDocument();
  pages = referencePages(document, await printedSchema());
});

// With UPDATE_SCHEMA=1 (`npm run reference`) this test writes the pages.
test('the reference in docs/api is what the code serves', async () => {
  if (process.env.UPDATE_SCHEMA) {
    await rm(join(folder, 'rest'), { recursive: true, force: true });
    for (const [path, text] of pages) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), text);
    }
  }
  const kept = [
    ...(await readdir(join(folder, 'rest'))).map((name) => `rest/${name}`),
    'graphql.md',
    'errors.md',
    'README.md',
  ];
  expect(kept.sort()).toEqual([...pages.keys()].sort());
  for (const [path, text] of pages) {
    expect([path, await readFile(join(folder, path), 'utf8')]).toEqual([path, text]);
  }
});

describe('the reference', () => {
  test('tells of every route, with what it takes, answers and how it fails', () => {
    const text = [...pages.values()].join('\n');
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const method of Object.keys(methods))
        expect(text).toContain(`\`${method.toUpperCase()} ${path}\``);
    }
    const tenants = pages.get('rest/tenants.md') ?? '';
    expect(tenants).toMatch(/## tenants\.create[\s\S]*\| `name` \| text \|[\s\S]*\*\*Answers 201\*\*/);
    expect(tenants).toContain('[StaleGeneration](../errors.md#stalegeneration)');
  });

  test('has no link to what is not there', () => {
    for (const [path, text] of pages) {
      for (const [, target = ''] of text.matchAll(/\]\(([^)]+)\)/g)) {
        const [file = '', part] = target.split('#');
        if (file !== '' && !pages.has(join(dirname(path), file))) continue;
        const other = pages.get(file === '' ? path : join(dirname(path), file)) ?? '';
        const anchors = new Set([
          ...[...other.matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
            title
              .replace(/ \(input\)$/, '')
              .toLowerCase()
              .replaceAll(/[^a-z0-9 -]/g, '')
              .replaceAll(' ', '-'),
          ),
          ...[...other.matchAll(/<a id="([^"]+)">/g)].map(([, id]) => id),
        ]);
        if (part !== undefined) expect([path, target, anchors.has(part)]).toEqual([path, target, true]);
      }
    }
  });
});
