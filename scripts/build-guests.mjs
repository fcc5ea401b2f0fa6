// Builds the demonstration programs (AssemblyScript) to libs/dvos/dist/guest/*.wasm, and for the benchmark the kernels
// of the folder bench/.
// A program is built again only when it, the files under lib/, or this script are newer.
import { mkdir, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const source = join(root, 'libs/dvos/src/guest');
const target = join(root, 'libs/dvos/dist/guest');

const changedAt = async (path) => (await stat(path).catch(() => null))?.mtimeMs ?? 0;

/** The options that make a WASI program: no JavaScript glue, no `env` imports, everything in memory and globals. */
export const options = (abort) => [
  '--optimizeLevel',
  '3',
  '--shrinkLevel',
  '1',
  '--noAssert',
  '--runtime',
  'incremental',
  '--use',
  `abort=${abort}`,
  '--disable',
  'mutable-globals',
];

export async function buildGuests({ force = false, folder = '.' } = {}) {
  await mkdir(join(target, folder), { recursive: true });
  const entries = (await readdir(join(source, folder))).filter((name) => name.endsWith('.ts')).sort();
  const shared = (await readdir(join(source, 'lib'))).map((name) => join(source, 'lib', name));
  const sharedAt = Math.max(
    ...(await Promise.all([...shared, fileURLToPath(import.meta.url)].map(changedAt))),
  );
  const built = [];
  for (const entry of entries) {
    const name = entry.replace(/\.ts$/, '');
    const out = join(target, folder, `${name}.wasm`);
    if (!force && (await changedAt(out)) > Math.max(sharedAt, await changedAt(join(source, folder, entry))))
      continue;
    const { default: asc } = await import('assemblyscript/asc');
    const result = await asc.main([
      join('libs/dvos/src/guest', folder, entry),
      '--baseDir',
      root,
      '--outFile',
      out,
      ...options('libs/dvos/src/guest/lib/wasi/abort'),
    ]);
    if (result.error) throw new Error(`${entry}: ${result.error.message}\n${result.stderr}`);
    built.push(name);
  }
  return built;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const built = await buildGuests({ force: process.argv.includes('--force') });
  console.error(built.length === 0 ? 'guest programs are up to date' : `built ${built.join(', ')}`);
}
