import { createHash } from 'node:crypto';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { CgroupTree } from '../limits/cgroup-tree.js';
import { createLog } from '../log.js';
import { InstrumentService } from './instrument-service.js';
import { ModuleCache } from './module-cache.js';

/** The child here is a small program with the loader's manners (module in, result out, ErrorBody on standard error). */
const CHILD = `
import { appendFileSync, readFileSync } from 'node:fs';
const module = readFileSync(0);
appendFileSync(import.meta.dirname + '/runs', 'x');
if (module.toString() === 'refuse') {
  console.error(JSON.stringify({ code: 'NotWebAssembly', message: 'no magic number', hint: 'compile it' }));
  process.exit(1);
}
if (module.toString() === 'crash') process.abort();
process.stdout.write('ready:' + module);
`;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'drvs-loader-'));
  writeFileSync(join(folder, 'main.mjs'), CHILD);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function serviceOf(version = 'v1', maxBytes?: number): Promise<InstrumentService> {
  const cache = new ModuleCache(join(folder, 'modules'), version, maxBytes);
  await cache.open();
  return new InstrumentService({
    cache,
    loaderMain: join(folder, 'main.mjs'),
    tree: new CgroupTree([]),
    privileges: {
      namespaces: [],
      unshare: [],
      hasOwnUsers: false,
      users: null,
      canGiveUpPrivileges: false,
      notes: [],
    },
    log: createLog('error', 'test'),
  });
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const instrument = async (service: InstrumentService, text: string): Promise<string> =>
  Buffer.from(await service.instrument(sha256(text), Buffer.from(text))).toString();
const runs = (): number => readFileSync(join(folder, 'runs'), 'utf8').length;

test('a program is made ready once, however many ask for it, also after a restart', async () => {
  const service = await serviceOf();
  const answers = await Promise.all(Array.from({ length: 5 }, () => instrument(service, 'program')));
  expect(new Set(answers)).toEqual(new Set(['ready:program']));
  expect(await instrument(await serviceOf(), 'program')).toBe('ready:program');
  expect(runs()).toBe(1);
});

test('another version of the loader does not use what an earlier one made', async () => {
  await instrument(await serviceOf('v1'), 'program');
  await instrument(await serviceOf('v2'), 'program');
  expect(runs()).toBe(2);
  expect(readdirSync(join(folder, 'modules'))).toEqual(['v2']);
});

test("the loader's refusal arrives as it was said, and its crash as an answer", async () => {
  const service = await serviceOf();
  await expect(instrument(service, 'refuse')).rejects.toMatchObject({
    code: 'NotWebAssembly',
    hint: 'compile it',
  });
  await expect(instrument(service, 'crash')).rejects.toMatchObject({ code: 'UnsupportedModule' });
  expect(await instrument(service, 'after')).toBe('ready:after');
});

test('a program under the wrong hash is refused', async () => {
  const service = await serviceOf();
  await expect(service.instrument(sha256('other'), Buffer.from('program'))).rejects.toMatchObject({
    code: 'InvalidInput',
  });
});

test('a damaged file in the cache is made anew', async () => {
  const service = await serviceOf();
  await instrument(service, 'program');
  const [name] = readdirSync(join(folder, 'modules', 'v1'));
  appendFileSync(join(folder, 'modules', 'v1', name as string), 'damage');
  expect(await instrument(service, 'program')).toBe('ready:program');
  expect(runs()).toBe(2);
});

test('the cache stays within its bound; what was used longest ago goes first', async () => {
  const service = await serviceOf('v1', 25);
  for (const program of ['a', 'b', 'c', 'd', 'e']) await instrument(service, program);
  expect(readdirSync(join(folder, 'modules', 'v1')).length).toBeLessThanOrEqual(3);
  const before = runs();
  await instrument(service, 'e');
  expect(runs()).toBe(before);
});
