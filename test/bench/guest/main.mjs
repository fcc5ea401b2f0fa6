// What instrumentation costs: the same program plain and instrumented, in turns, in one process.
// Compares processor time of the thread. Prints one line per kernel, the geometric mean, and with --json the rows of `drvs bench --json`.
//   node test/bench/guest/main.mjs [--json] [--rounds 7] [KERNEL...]
import { mkdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = resolve(fileURLToPath(import.meta.url), '../../../..');
const load = (path) => import(pathToFileURL(join(root, path)).href);
const { buildGuests } = await load('scripts/build-guests.mjs');
const { heedBranchHints, instrument } = await load('libs/dvos/dist/loader/index.js');
const { Miniature } = await load('libs/dvos/dist/loader/miniature-kernel.js');

heedBranchHints();

const KERNELS = [
  'mandelbrot',
  'matrix',
  'crc32',
  'quicksort',
  'fibonacci',
  'sieve',
  'sha256',
  'nbody',
  'words',
];
const LARGE = 'engine';
/** Units of fuel for one time slice of about 2 ms; the process is unwound and rewound after each. */
const SLICE_FUEL = 200_000;

/** Processor time of this thread: other programs on the machine and the compiler's threads do not count. */
const cpuMs = () => {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
};

/** Runs the program with nothing between it and the engine. @returns [milliseconds, output] */
function runPlain(module) {
  let memory;
  let output = '';
  const decoder = new TextDecoder();
  const wasi = {
    args_sizes_get(count, size) {
      new DataView(memory.buffer).setUint32(count, 0, true);
      new DataView(memory.buffer).setUint32(size, 0, true);
      return 0;
    },
    args_get: () => 0,
    fd_write(_fd, vectors, count, written) {
      const view = new DataView(memory.buffer);
      let total = 0;
      for (let i = 0; i < count; i++) {
        const length = view.getUint32(vectors + 8 * i + 4, true);
        output += decoder.decode(
          new Uint8Array(memory.buffer, view.getUint32(vectors + 8 * i, true), length),
        );
        total += length;
      }
      view.setUint32(written, total, true);
      return 0;
    },
    proc_exit(code) {
      throw new Error(`exit ${code}`);
    },
  };
  const instance = new WebAssembly.Instance(module, { wasi_snapshot_preview1: wasi });
  memory = instance.exports.memory;
  const start = cpuMs();
  instance.exports._start();
  return [cpuMs() - start, output];
}

function runInstrumented(miniature) {
  const start = cpuMs();
  const { output } = miniature.run();
  return [cpuMs() - start, new TextDecoder().decode(output)];
}

const spread = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  return { median: sorted[sorted.length >> 1], min: sorted[0], max: sorted.at(-1) };
};

async function measure(name, rounds) {
  const bytes = await readFile(join(root, 'libs/dvos/dist/guest/bench', `${name}.wasm`));
  const instrumented = instrument(bytes).module;
  const plainModule = new WebAssembly.Module(bytes);
  const plain = [];
  const ours = [];
  const ratios = [];
  for (let round = -1; round < rounds; round++) {
    const [plainMs, expected] = runPlain(plainModule);
    const [oursMs, actual] = runInstrumented(
      new Miniature(instrumented, { fuel: SLICE_FUEL, at: () => 'unwind' }),
    );
    if (actual !== expected) throw new Error(`${name}: printed ${actual} instead of ${expected}`);
    if (round < 0) continue; // warms the compiler up
    plain.push(plainMs);
    ours.push(oursMs);
    ratios.push(oursMs / plainMs);
  }
  const ratio = spread(ratios);
  return {
    name: `guest ${name}`,
    unit: 'ms',
    ours: spread(ours),
    peer: 'the same module, not instrumented',
    peers: spread(plain),
    ratio: ratio.median,
    ratios: ratio,
    growth: instrumented.length / bytes.length,
  };
}

export async function benchGuest({ rounds = 7, only = [] } = {}) {
  await mkdir(join(root, 'libs/dvos/dist/guest/bench'), { recursive: true });
  await buildGuests({ folder: 'bench' });
  const rows = [];
  for (const name of [...KERNELS, LARGE]) {
    if (only.length > 0 && !only.includes(name)) continue;
    const row = await measure(name, rounds);
    const { median, min, max } = row.ratios;
    console.error(
      `${row.name.padEnd(18)} ${median.toFixed(2)} (${min.toFixed(2)} to ${max.toFixed(2)}) times the plain ${row.peers.median.toFixed(0)} ms`,
    );
    rows.push(row);
  }
  const kernels = rows.filter(({ name }) => name !== `guest ${LARGE}`);
  if (kernels.length > 1) {
    const mean = Math.exp(kernels.reduce((sum, { ratio }) => sum + Math.log(ratio), 0) / kernels.length);
    console.error(`geometric mean     ${mean.toFixed(2)} over ${kernels.length} kernels`);
    rows.push({ name: 'guest geometric mean', unit: 'ratio', ratio: mean });
  }
  return rows;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const args = process.argv.slice(2);
  const at = args.indexOf('--rounds');
  const rounds = at >= 0 ? Number(args.splice(at, 2)[1]) : 7;
  const only = args.filter((arg) => !arg.startsWith('--'));
  const rows = await benchGuest({ rounds, only });
  if (args.includes('--json')) console.log(JSON.stringify(rows, null, 2));
}
