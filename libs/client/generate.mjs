// Generates src/gen (ignored by git) from what the API publishes: the types of REST from apps/api/openapi.json, and the
// typed documents of GraphQL from apps/api/schema.graphql and src/graphql/*.graphql. Skipped while none of these changed.
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const api = join(here, '../../apps/api');
const output = join(here, 'src/gen');
const stamp = join(output, '.sha256');
const documents = (await readdir(join(here, 'src/graphql')))
  .filter((name) => name.endsWith('.graphql'))
  .sort()
  .map((name) => join(here, 'src/graphql', name));
const inputs = [
  fileURLToPath(import.meta.url),
  join(api, 'openapi.json'),
  join(api, 'schema.graphql'),
  ...documents,
];
const hash = createHash('sha256');
for (const path of inputs) hash.update(await readFile(path)).update('\0');
const wanted = hash.digest('hex');
const found = await readFile(stamp, 'utf8').catch(() => '');
if (found === wanted && existsSync(join(output, 'graphql.ts')) && existsSync(join(output, 'openapi.ts')))
  process.exit(0);

const { default: openapiTS, astToString } = await import('openapi-typescript');
const { generate } = await import('@graphql-codegen/cli');

const types = astToString(
  await openapiTS(JSON.parse(await readFile(join(api, 'openapi.json'), 'utf8')), {
    alphabetize: true,
    exportType: true,
    silent: true,
  }),
);
const generated = await generate(
  {
    schema: join(api, 'schema.graphql'),
    documents,
    silent: true,
    generates: {
      [join(output, 'graphql.ts')]: {
        plugins: ['typescript-operations', 'typed-document-node'],
        config: { documentMode: 'string', useTypeImports: true, enumsAsTypes: true },
      },
    },
  },
  false,
);
await mkdir(output, { recursive: true });
for (const { filename, content } of generated) await write(filename, content);
await write(join(output, 'openapi.ts'), types);
await write(stamp, wanted);
console.error('generated libs/client/src/gen');
// What the generators leave open does not keep the process.
process.exit(0);

async function write(path, text) {
  const part = `${path}.${process.pid}.part`;
  await writeFile(part, text);
  await rename(part, path);
}
