// Does the API still keep what the last release promised? Compares apps/api/openapi.json and apps/api/schema.graphql with
// the documents of that release in docs/api/baseline. What breaks is refused unless the version says so.
//
//   node scripts/check-api.mjs             compare; exit 1 and a list where something broke without a new version
//   node scripts/check-api.mjs --release   these documents are the release's: keep them as the new baseline
import { copyFile, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSchema, findBreakingChanges } from 'graphql';
import { breakingChanges } from '../apps/api/src/openapi/breaking-changes.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const documents = ['openapi.json', 'schema.graphql'];
const published = (name) => join(root, 'apps/api', name);
const baseline = (name) => join(root, 'docs/api/baseline', name);
const read = (path) => readFile(path, 'utf8');

if (process.argv[2] === '--release') {
  for (const name of documents) await copyFile(published(name), baseline(name));
  console.error('docs/api/baseline now holds what this version promises');
  process.exit(0);
}

const before = JSON.parse(await read(baseline('openapi.json')));
const after = JSON.parse(await read(published('openapi.json')));
const { version } = JSON.parse(await read(join(root, 'apps/api/package.json')));
const broken = [
  ...breakingChanges(before, after).map((text) => `REST     ${text}`),
  ...findBreakingChanges(
    buildSchema(await read(baseline('schema.graphql'))),
    buildSchema(await read(published('schema.graphql'))),
  ).map(({ description }) => `GraphQL  ${description}`),
];
const released = before.info.version;
if (broken.length === 0) process.exit(0);
if (mayBreak(released, version)) {
  console.error(
    `${version} breaks what ${released} promised, as its version says:\n  ${broken.join('\n  ')}`,
  );
  process.exit(0);
}
console.error(
  `The API breaks what version ${released} promised (docs/api/baseline):\n\n  ${broken.join('\n  ')}\n\n` +
    'Programs and scripts of users count on it. Keep what there was and add beside it. If it has to break, say so: ' +
    `raise the version in apps/api/package.json (now ${version}) to the next ${released.startsWith('0.') ? 'minor' : 'major'} ` +
    'one, tell in CHANGELOG.md what changes for users, print the documents again (`npm run reference`), and with the ' +
    'release keep them as the new baseline: `node scripts/check-api.mjs --release`.',
);
process.exit(1);

/** Before 1.0 a new minor version may break, from then on a new major one (semver.org, 4 and 8). */
function mayBreak(from, to) {
  const [major, minor] = from.split('.').map(Number);
  const [newMajor, newMinor] = to.split('.').map(Number);
  return newMajor > major || (major === 0 && newMajor === 0 && newMinor > minor);
}
