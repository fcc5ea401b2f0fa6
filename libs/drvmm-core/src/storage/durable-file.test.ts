import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { z } from 'zod';
import { readJson, writeDurably } from './durable-file.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'drvs-durable-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('a file is replaced as a whole, is private, and leaves no other behind', () => {
  const path = join(folder, 'spec.json');
  writeDurably(path, '{"n":1}');
  writeDurably(path, '{"n":2}');
  expect(readFileSync(path, 'utf8')).toBe('{"n":2}');
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync(folder)).toEqual(['spec.json']);
});

test('a missing file is null; a damaged one is named', () => {
  const schema = z.object({ n: z.number() });
  const path = join(folder, 'spec.json');
  expect(readJson(path, schema)).toBeNull();
  writeFileSync(path, '{"n":');
  expect(() => readJson(path, schema)).toThrow(`${path} is damaged`);
});
