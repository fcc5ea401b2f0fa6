// Transpiles every package from src/ to dist/ (types are checked apart, by `npm run check`).
// A file is written again only when its source is newer, so a second build takes a moment.
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { transform } from '@swc/core';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const packages = [
  'libs/contracts',
  'libs/drvmm-core',
  'libs/dvos',
  'libs/policy',
  'apps/api',
  'apps/node-agent',
  'apps/cli',
];
const swcrc = JSON.parse(await readFile(join(root, '.swcrc'), 'utf8'));
delete swcrc.$schema;
swcrc.sourceMaps = true;

async function* files(folder) {
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* files(path);
    else yield path;
  }
}

const changedAt = async (path) => (await stat(path).catch(() => null))?.mtimeMs ?? 0;

async function build(name) {
  const source = join(root, name, 'src');
  const target = join(root, name, 'dist');
  const wanted = new Set();
  let written = 0;
  for await (const path of files(source)) {
    if (!path.endsWith('.ts') || path.endsWith('.test.ts') || path.endsWith('.d.ts')) continue;
    if (relative(source, path).startsWith('guest/')) continue; // AssemblyScript, built on its own
    const out = join(target, relative(source, path)).replace(/\.ts$/, '.js');
    wanted.add(out).add(`${out}.map`);
    if ((await changedAt(out)) > (await changedAt(path))) continue;
    const { code, map } = await transform(await readFile(path, 'utf8'), {
      ...swcrc,
      filename: path,
      swcrc: false,
      sourceFileName: relative(dirname(out), path),
    });
    await mkdir(dirname(out), { recursive: true });
    await writeFile(out, `${code}\n//# sourceMappingURL=${out.split('/').at(-1)}.map\n`);
    await writeFile(`${out}.map`, map);
    written++;
  }
  for await (const path of files(target)) if (!wanted.has(path) && !path.includes('/guest/')) await rm(path);
  return written;
}

const counts = await Promise.all(packages.map(build));
console.error(`built ${counts.reduce((a, b) => a + b, 0)} files`);
