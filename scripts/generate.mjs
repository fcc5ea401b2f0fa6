// Generates the types of the API's client (libs/client/generate.mjs), and the database client from prisma/schema.prisma
// into apps/api/src/gen, each when what it is made of has changed since the last time; git ignores both. Nothing is downloaded: the client needs no engine, and Prisma only wants to see that the
// one it would fetch exists.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
execFileSync(process.execPath, [join(root, 'libs/client/generate.mjs')], { stdio: 'inherit' });

const output = join(root, 'apps/api/src/gen');
const stamp = join(output, '.schema-sha256');
const schema = join(root, 'prisma/schema.prisma');
const version = JSON.parse(await readFile(join(root, 'node_modules/prisma/package.json'), 'utf8')).version;
const wanted = createHash('sha256')
  .update(version)
  .update(await readFile(schema))
  .digest('hex');
const found = await readFile(stamp, 'utf8').catch(() => '');
if (found === wanted && existsSync(join(output, 'client.ts'))) process.exit(0);

await rm(output, { recursive: true, force: true });
execFileSync(
  process.execPath,
  [join(root, 'node_modules/prisma/build/index.js'), 'generate', '--schema', schema],
  {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      ...process.env,
      PRISMA_SCHEMA_ENGINE_BINARY: '/bin/true',
      PRISMA_HIDE_UPDATE_MESSAGE: '1',
      CHECKPOINT_DISABLE: '1',
    },
  },
);
await mkdir(output, { recursive: true });
await writeFile(stamp, wanted);
console.error('generated apps/api/src/gen');
