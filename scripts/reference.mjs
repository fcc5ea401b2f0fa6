// Writes again what is printed from the code and kept in the repository: the description of REST, the SDL, the reference
// of the API and of the command line. The tests that hold these files to the code do the writing (UPDATE_SCHEMA=1).
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const tests = [
  'apps/api/src/openapi/print-document.test.ts',
  'apps/api/src/graphql/print-schema.test.ts',
  'apps/api/src/openapi/reference.test.ts',
  'apps/cli/src/reference.test.ts',
];
const { status } = spawnSync(
  process.execPath,
  ['--experimental-vm-modules', join(root, 'node_modules/jest/bin/jest.js'), '--runInBand', ...tests],
  { cwd: root, stdio: 'inherit', env: { ...process.env, UPDATE_SCHEMA: '1' } },
);
process.exit(status ?? 1);
