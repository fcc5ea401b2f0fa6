// All tests, as CI runs them: build, check, then Jest over every package and test/. Its last line is `N passed, N failed`.
//
//   ./drvs test                    everything
//   ./drvs test -- PATH…           only these test files (nothing else is checked)
//   --no-check                     without types, lint and the rest of scripts/check.mjs
//   --json FILE                    Jest's results, too
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
/** More workers than this only wait for each other's databases. */
const WORKERS_MAX = 8;
/** So many files that fail among the others are run once more by themselves; more of them are no accident. */
const SECOND_LOOKS_MAX = 2;
/**
 * Both at once. Tests mostly wait (for a database, for processes that start, for a node to be missed), so that there are
 * more workers than processors; with many more, all of them only take longer.
 */
const RUNS = [
  { name: 'packages', workersPerProcessor: 1, pattern: '/(apps|libs)/|/test/(api|sim)/' },
  // These start whole DRVMs or clusters.
  { name: 'whole', workersPerProcessor: 0.5, pattern: '/test/(conformance|e2e|chaos)/' },
];

let parsed;
try {
  parsed = parseArgs({
    allowPositionals: true,
    options: { 'no-check': { type: 'boolean', default: false }, json: { type: 'string' } },
  });
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exit(2);
}
const { values: options, positionals: paths } = parsed;

const running = new Set();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    for (const child of running) child.kill(signal);
    process.exitCode = 130;
    interrupted = true;
  });
}
let interrupted = false;

function run(command, args, env = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, env: { ...process.env, ...env }, stdio: 'inherit' });
    running.add(child);
    child.on('error', (error) => {
      console.error(String(error));
      resolve(1);
    });
    child.on('close', (code) => {
      running.delete(child);
      resolve(code ?? 1);
    });
  });
}

const workersFor = (perProcessor) =>
  Math.max(1, Math.min(WORKERS_MAX, Math.round(availableParallelism() * perProcessor)));

/** Adds up Jest's results; a file that could not run at all counts as one failed test. */
function sum(results) {
  const broken = results.testResults.filter(
    (file) => file.status === 'failed' && file.assertionResults.length === 0,
  );
  return { passed: results.numPassedTests, failed: results.numFailedTests + broken.length };
}

async function jest(name, args, folder) {
  if (interrupted) return { name, passed: 0, failed: 0, results: null };
  const output = join(folder, `${name}.json`);
  const code = await run(
    process.execPath,
    [
      '--experimental-vm-modules',
      '--disable-warning=ExperimentalWarning',
      join(root, 'node_modules/jest/bin/jest.js'),
      '--json',
      `--outputFile=${output}`,
      '--passWithNoTests',
      ...args,
    ],
    // For the processes that tests start, too.
    { NODE_OPTIONS: '--experimental-vm-modules --disable-warning=ExperimentalWarning' },
  );
  const text = await readFile(output, 'utf8').catch(() => null);
  if (text === null) {
    console.error(`error: Jest left no results (${name}, exit ${code})`);
    return { name, passed: 0, failed: 1, results: null };
  }
  const results = JSON.parse(text);
  const counts = sum(results);
  // Jest fails as a whole (a leaked handle, a crashed worker) while every test passed: that is a failure too.
  if (code !== 0 && counts.failed === 0) counts.failed = 1;
  return { name, ...counts, results };
}

/**
 * A file that failed while others took the machine's time is run once more by itself, so that the report tells a fault
 * of the code from a test that cannot bear a busy machine. The latter is named loudly: it is a fault too, of the test
 * or of something that it found, and is to be mended (docs/developing.md).
 */
async function secondLook(first, folder) {
  const files = (first.results?.testResults ?? [])
    .filter(({ status }) => status === 'failed')
    .map(({ name }) => name);
  if (files.length === 0 || files.length > SECOND_LOOKS_MAX || interrupted) return first;
  console.log(`\n${files.length} of the files failed; once more, by themselves:`);
  const second = await jest(`${first.name}-again`, ['--runInBand', '--runTestsByPath', ...files], folder);
  if (second.results === null || second.failed > 0) return first;
  for (const file of files) unsteady.push(relative(root, file));
  const again = new Map(second.results.testResults.map((result) => [result.name, result]));
  const testResults = first.results.testResults.map((result) => again.get(result.name) ?? result);
  const passed = testResults
    .flatMap(({ assertionResults }) => assertionResults)
    .filter(({ status }) => status === 'passed').length;
  return { ...first, passed, failed: 0, results: { ...first.results, testResults } };
}

const unsteady = [];
const folder = await mkdtemp(join(tmpdir(), 'drvs-test-'));
let passed = 0;
let failed = 0;
try {
  let isBuilt = true;
  if (paths.length === 0) {
    isBuilt = (await run(process.execPath, ['scripts/build.mjs', '--all'])) === 0;
    if (!isBuilt) failed++;
    if (isBuilt && !options['no-check'] && !interrupted) {
      if ((await run(process.execPath, ['scripts/check.mjs'])) !== 0) failed++;
    }
  } else isBuilt = (await run(process.execPath, ['scripts/build.mjs', '--quiet'])) === 0;
  if (isBuilt && !interrupted) {
    const first = await (paths.length > 0
      ? Promise.all([jest('paths', [`--maxWorkers=${workersFor(1)}`, ...paths], folder)])
      : Promise.all(
          RUNS.map(({ name, workersPerProcessor, pattern }) =>
            jest(
              name,
              [`--maxWorkers=${workersFor(workersPerProcessor)}`, '--testPathPatterns', pattern],
              folder,
            ),
          ),
        ));
    const all = [];
    for (const result of first) {
      const counts = await secondLook(result, folder);
      passed += counts.passed;
      failed += counts.failed;
      all.push(...(counts.results?.testResults ?? []));
    }
    if (options.json) await writeFile(options.json, JSON.stringify(all, null, 2));
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
if (interrupted) {
  console.error('interrupted');
  process.exit(130);
}
for (const file of unsteady) {
  console.log(`UNSTEADY ${file}: failed among the others and passed by itself; mend it`);
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
