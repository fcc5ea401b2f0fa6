// Runs the benchmarks, one after another (they would take each other's time), and prints each figure as a ratio to a peer
// that ran in turn with ours. `npm run bench` all, `npm run bench -- migration ipc` some, `-- --list` their names.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = dirname(fileURLToPath(import.meta.url));
const entryOf = (entry) => {
  if (entry.isDirectory())
    return readdirSync(join(folder, entry.name)).includes('main.mjs') ? 'main.mjs' : null;
  return entry.name.endsWith('.mjs') && entry.name !== 'main.mjs' ? '' : null;
};
const known = new Map(
  readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entryOf(entry) !== null)
    .map((entry) => [entry.name.replace(/\.mjs$/, ''), join(folder, entry.name, entryOf(entry))]),
);

const wanted = process.argv.slice(2);
if (wanted.includes('--list')) {
  console.log([...known.keys()].join('\n'));
  process.exit(0);
}
const unknown = wanted.filter((name) => !known.has(name));
if (unknown.length > 0) {
  console.error(`There is no benchmark ${unknown.join(', ')}. There are: ${[...known.keys()].join(', ')}.`);
  process.exit(2);
}
let failed = 0;
for (const name of wanted.length > 0 ? wanted : known.keys()) {
  console.error(`\n${name}`);
  const { status } = spawnSync(process.execPath, [known.get(name)], { stdio: 'inherit' });
  if (status !== 0) failed++;
}
process.exit(failed === 0 ? 0 : 1);
