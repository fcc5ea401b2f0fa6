// Builds what the processes run. By default: every package from src/ to dist/ (transpiled only; types are checked apart,
// by `npm run check`). A file is written again only when its source is newer, so a second build takes a moment.
//
//   node scripts/build.mjs                      the packages
//   node scripts/build.mjs --only a,b           some of them
//   node scripts/build.mjs --all                also the Prisma client, the guest programs and the portal
//   --no-portal                                 with --all: not the portal
//   --quiet                                     only errors
//
// The slow steps of --all are skipped while the hash of what they read is the one they were last made from. Builds of one
// folder wait for each other.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cp, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const packages = [
  'libs/contracts',
  'libs/drvmm-core',
  'libs/dvos',
  'libs/policy',
  'libs/client',
  'apps/api',
  'apps/node-agent',
  'apps/cli',
];
const { values: options } = parseArgs({
  options: {
    all: { type: 'boolean', default: false },
    only: { type: 'string' },
    quiet: { type: 'boolean', default: false },
    'no-portal': { type: 'boolean', default: false },
  },
});
const say = (text) => {
  if (!options.quiet) console.error(text);
};

async function* files(folder) {
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* files(path);
    else yield path;
  }
}

const changedAt = async (path) => (await stat(path).catch(() => null))?.mtimeMs ?? 0;

async function transpile(name) {
  const { transform } = await import('@swc/core');
  const swcrc = JSON.parse(await readFile(join(root, '.swcrc'), 'utf8'));
  delete swcrc.$schema;
  swcrc.sourceMaps = true;
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
    // Renamed into place: a build that is interrupted, or another one beside it, leaves no half file.
    await write(`${out}.map`, map);
    await write(out, `${code}\n//# sourceMappingURL=${out.split('/').at(-1)}.map\n`);
    written++;
  }
  for await (const path of files(target)) {
    if (!wanted.has(path) && !path.includes('/guest/') && !path.endsWith('.part'))
      await rm(path, { force: true });
  }
  return written;
}

async function write(path, text) {
  const part = `${path}.${process.pid}.part`;
  await writeFile(part, text);
  await rename(part, path);
}

/** Grows when a step makes something else from the same files. */
const BUILD_VERSION = '1';

/** The hash of all that a step reads: names and contents, in a fixed order. */
async function hashOf(paths) {
  const hash = createHash('sha256').update(BUILD_VERSION);
  const found = [];
  for (const path of paths) {
    const full = join(root, path);
    if ((await stat(full).catch(() => null))?.isDirectory())
      for await (const file of files(full)) found.push(file);
    else found.push(full);
  }
  for (const file of found.sort()) {
    if (/\/(gen|dist|\.next|node_modules)\//.test(file) || /\.test\.tsx?$/.test(file)) continue;
    if (/\/next-env\.d\.ts$|\.tsbuildinfo$/.test(file)) continue; // written by the step itself, and by checks
    const content = await readFile(file).catch(() => null);
    if (content) hash.update(relative(root, file)).update('\0').update(content).update('\0');
  }
  return hash.digest('hex');
}

function run(command, args, { cwd = root, env = {} } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      env: {
        ...process.env,
        NEXT_TELEMETRY_DISABLED: '1',
        CHECKPOINT_DISABLE: '1',
        SCARF_ANALYTICS: 'false',
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    const keep = (chunk) => {
      output = (output + chunk).slice(-20_000);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0) resolve(output);
      else
        reject(new Error(`${[command, ...args].join(' ')} ended with ${signal ?? code}\n${output.trim()}`));
    });
  });
}

/** Does a step unless its inputs are those of the last time and its product is there. */
async function step(name, { reads, makes }, work) {
  const stampPath = join(root, '.cache/build', name.replaceAll(' ', '-'));
  const hash = await hashOf(reads);
  const stamp = await readFile(stampPath, 'utf8').catch(() => '');
  if (stamp === hash && (await stat(join(root, makes)).catch(() => null))) return;
  const started = Date.now();
  say(`building the ${name} …`);
  await rm(stampPath, { force: true });
  await work();
  await mkdir(dirname(stampPath), { recursive: true });
  await writeFile(stampPath, hash);
  say(`built the ${name} in ${((Date.now() - started) / 1000).toFixed(1)} s`);
}

const exists = async (path) => (await stat(join(root, path)).catch(() => null)) !== null;

async function buildPortal() {
  const portal = join(root, 'apps/portal');
  const bin = (name) => join(root, 'node_modules/.bin', name);
  if (await exists('apps/portal/codegen.ts')) {
    await run(bin('graphql-codegen'), ['--config', 'codegen.ts'], { cwd: portal });
  }
  await rm(join(portal, '.next/standalone'), { recursive: true, force: true });
  await run(bin('next'), ['build'], { cwd: portal });
  // `next build` leaves what the browser loads out of the standalone folder: see its documentation of `output`.
  const standalone = join(portal, '.next/standalone/apps/portal');
  await cp(join(portal, '.next/static'), join(standalone, '.next/static'), { recursive: true });
  if (await exists('apps/portal/public')) {
    await cp(join(portal, 'public'), join(standalone, 'public'), { recursive: true });
  }
}

async function buildAll() {
  if (await exists('prisma/schema.prisma')) {
    const reads = [
      'prisma/schema.prisma',
      'prisma.config.ts',
      'scripts/generate.mjs',
      'node_modules/prisma/package.json',
    ];
    await step('database client', { reads, makes: 'apps/api/src/gen' }, () =>
      run(process.execPath, ['scripts/generate.mjs']),
    );
  }
  await step(
    'typed client',
    {
      reads: [
        'apps/api/openapi.json',
        'apps/api/schema.graphql',
        'libs/client/src/graphql',
        'libs/client/generate.mjs',
      ],
      makes: 'libs/client/src/gen',
    },
    () => run(process.execPath, ['libs/client/generate.mjs']),
  );
  const counts = await Promise.all(packages.map(transpile));
  say(`built ${counts.reduce((a, b) => a + b, 0)} files`);
  // The guest programs before the portal, not beside it: on a small machine the two together swap.
  if (await exists('scripts/build-guests.mjs')) {
    const reads = [
      'libs/dvos/src/guest',
      'scripts/build-guests.mjs',
      'node_modules/assemblyscript/package.json',
    ];
    await step('guest programs', { reads, makes: 'libs/dvos/dist/guest' }, () =>
      run(process.execPath, ['scripts/build-guests.mjs']),
    );
  }
  if (!options['no-portal'] && (await exists('apps/portal/next.config.ts'))) {
    const reads = [
      'apps/portal',
      'apps/api/schema.graphql',
      'node_modules/next/package.json',
      'package-lock.json',
    ];
    await step('portal', { reads, makes: 'apps/portal/.next/standalone/apps/portal/server.js' }, buildPortal);
  }
}

const WAIT_MS = 100;

/**
 * One build of this folder at a time. The lock is a socket of Linux' abstract name space, which needs no file and ends
 * with the process, however that ends.
 */
async function lock() {
  const path = `\0drvs-build-${createHash('sha256').update(root).digest('hex')}`;
  for (let isTold = false; ; isTold = true) {
    const server = createServer().unref();
    const error = await new Promise((resolve) => {
      server.once('error', resolve).listen(path, () => resolve(null));
    });
    if (error === null) return;
    if (error.code !== 'EADDRINUSE') throw error;
    if (!isTold) say('waiting for another build of this folder …');
    await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
  }
}

try {
  await lock();
  if (options.all) await buildAll();
  else {
    const counts = await Promise.all((options.only?.split(',') ?? packages).map(transpile));
    say(`built ${counts.reduce((a, b) => a + b, 0)} files`);
  }
} catch (error) {
  console.error(`error: the build failed: ${error instanceof Error ? error.message : error}`);
  process.exit(1);
}
