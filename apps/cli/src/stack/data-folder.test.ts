import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  assertWhole,
  DATA_FORMAT,
  type DataFolder,
  dataFolder,
  makeFolders,
  readStack,
  type StackFile,
  writeStack,
} from './data-folder.js';
import { assertPurgeable } from './down.js';

let folder: DataFolder;
let stack: StackFile;
beforeEach(async () => {
  folder = dataFolder(join(await mkdtemp(join(tmpdir(), 'drvs-data-')), 'data'));
  stack = {
    format: DATA_FORMAT,
    createdAt: '2026-01-01T00:00:00Z',
    port: 3000,
    portalPort: null,
    nodes: [{ name: 'node1', cpuMilli: 500, memoryMiB: 1024, diskGiB: 4 }],
    database: { kind: 'embedded', folder: folder.postgres, port: 5432 },
    demo: null,
  };
});
afterEach(() => rm(join(folder.root, '..'), { recursive: true }));

async function setUp(): Promise<void> {
  await makeFolders(folder);
  await writeStack(folder, stack);
  await mkdir(join(folder.postgres, 'global'), { recursive: true });
  await mkdir(join(folder.postgres, 'base'));
  await writeFile(join(folder.postgres, 'PG_VERSION'), '18\n');
  await writeFile(join(folder.postgres, 'global/pg_control'), 'x');
  await writeFile(join(folder.postgres, 'postgresql.conf'), '');
  await writeFile(folder.databasePasswordFile, 'x');
}

describe('the data folder', () => {
  test('one that is not there, or empty, is new', async () => {
    expect(await readStack(folder)).toBeNull();
    await mkdir(folder.root);
    expect(await readStack(folder)).toBeNull();
  });

  test('what was set up is found again; secrets are its owner’s only', async () => {
    await setUp();
    expect(await readStack(folder)).toEqual(stack);
    await assertWhole(folder, stack);
    expect((await stat(folder.secrets)).mode & 0o777).toBe(0o700);
    expect((await stat(folder.root)).mode & 0o777).toBe(0o711);
  });

  test.each([
    ['not JSON', '{"format":'],
    ['not as it was written', `{"format":${DATA_FORMAT}}`],
    ['without a format', '[]'],
  ])('a stack.json that is %s is damaged, and left as it is', async (_, text) => {
    await setUp();
    await writeFile(folder.stackFile, text);
    await expect(readStack(folder)).rejects.toMatchObject({ code: 'DataFolderDamaged' });
    expect(await readFile(folder.stackFile, 'utf8')).toBe(text);
  });

  test('a lost stack.json is damage, not a new folder', async () => {
    await setUp();
    await rm(folder.stackFile);
    await expect(readStack(folder)).rejects.toMatchObject({ code: 'DataFolderDamaged' });
  });

  test('one of a later version is refused by name', async () => {
    await setUp();
    await writeFile(folder.stackFile, JSON.stringify({ ...stack, format: DATA_FORMAT + 1 }));
    await expect(readStack(folder)).rejects.toMatchObject({ code: 'DataFolderNewer' });
  });

  test("somebody else's folder is neither used nor removed", async () => {
    await mkdir(folder.root);
    await writeFile(join(folder.root, 'thesis.tex'), '');
    await expect(readStack(folder)).rejects.toMatchObject({ code: 'NotADataFolder' });
    await expect(assertPurgeable(folder)).rejects.toMatchObject({ code: 'NotADataFolder' });
    expect(await readdir(folder.root)).toEqual(['thesis.tex']);
  });

  test('a file in its place is said to be one', async () => {
    await writeFile(folder.root, '');
    await expect(readStack(folder)).rejects.toMatchObject({ code: 'DataFolderUnusable' });
  });

  test.each(['PG_VERSION', 'global/pg_control', 'postgresql.conf'])(
    'a cluster without %s is damaged',
    async (name) => {
      await setUp();
      await rm(join(folder.postgres, name));
      await expect(assertWhole(folder, stack)).rejects.toMatchObject({ code: 'DataFolderDamaged' });
    },
  );

  test('a cluster that is gone although it was made is damage', async () => {
    await setUp();
    await rm(folder.postgres, { recursive: true });
    await expect(assertWhole(folder, stack)).rejects.toMatchObject({ code: 'DataFolderDamaged' });
  });

  test('an `up` that was stopped before the cluster was made is taken up again', async () => {
    await makeFolders(folder);
    await writeStack(folder, stack);
    await assertWhole(folder, stack);
  });

  test('a cluster of another PostgreSQL is refused', async () => {
    await setUp();
    await writeFile(join(folder.postgres, 'PG_VERSION'), '19\n');
    await expect(assertWhole(folder, stack)).rejects.toMatchObject({ code: 'DataFolderNewer' });
  });
});
