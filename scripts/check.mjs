// Types, lint and format, import directions, dead code: what CI asks of every change, in parallel.
// `node scripts/check.mjs --list` names the checks; a name as argument runs only that one.
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const bin = (name) => join(root, 'node_modules/.bin', name);

const checks = {
  types: [bin('tsc'), '-p', 'tsconfig.json'],
  'types of the portal': [bin('tsc'), '-p', 'apps/portal/tsconfig.json', '--noEmit'],
  'lint and format': [bin('biome'), 'ci', '--diagnostic-level=error', '.'],
  'import directions': [bin('depcruise'), '--config', '.dependency-cruiser.mjs', 'apps', 'libs', 'test'],
  'dead code': [bin('knip'), '--no-progress'],
  'promises of the API': [process.execPath, 'scripts/check-api.mjs'],
};

function run([command, ...args]) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    child.stderr.on('data', (chunk) => {
      output += chunk;
    });
    child.on('error', (error) => resolve({ code: 1, output: String(error) }));
    child.on('close', (code) => resolve({ code, output }));
  });
}

if (process.argv[2] === '--list') {
  console.log(Object.keys(checks).join('\n'));
  process.exit(0);
}
const wanted = Object.entries(checks).filter(([name]) => !process.argv[2] || name === process.argv[2]);
let failed = 0;
await Promise.all(
  wanted.map(async ([name, command]) => {
    const startedAt = Date.now();
    const { code, output } = await run(command);
    const seconds = ((Date.now() - startedAt) / 1000).toFixed(1);
    console.error(`${code === 0 ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)`);
    if (code !== 0) {
      failed++;
      console.error(output);
    }
  }),
);
process.exit(failed === 0 ? 0 : 1);
