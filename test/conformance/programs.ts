import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import binaryen from 'binaryen';

const run = promisify(execFile);
const OUTPUT_BYTES_MOST = 256 * 1024 * 1024;

/** The module of a WebAssembly text, as a compiler for WASI preview 1 would emit it. */
export function assemble(text: string): Uint8Array {
  const { MVP, BulkMemory, SignExt, MutableGlobals } = binaryen.Features;
  const module = binaryen.parseText(text);
  module.setFeatures(MVP | BulkMemory | SignExt | MutableGlobals);
  const bytes = module.emitBinary();
  module.dispose();
  return bytes;
}

/**
 * Fills `mib` MiB with pseudo-random numbers, then walks over them, changing them, and prints a line of eight
 * hexadecimal digits (all that it has seen and done) `lines` times, `rounds` steps and `sleepMs` apart.
 */
export function walker({
  mib,
  lines,
  rounds,
  sleepMs = 0,
}: {
  mib: number;
  lines: number;
  rounds: number;
  sleepMs?: number;
}): Uint8Array {
  const base = 65_536;
  const mask = mib * 1_048_576 - 4;
  return assemble(`(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") ${mib * 16 + 1})
    (data (i32.const 0) "\\10\\00\\00\\00\\09\\00\\00\\00")
    (global $sum (mut i32) (i32.const 1))
    (func $next (param $x i32) (result i32)
      (i32.add (i32.mul (local.get $x) (i32.const 1664525)) (i32.const 1013904223)))
    (func $line (local $i i32) (local $digit i32)
      (loop $digits
        (local.set $digit (i32.and (i32.shr_u (global.get $sum) (i32.mul (local.get $i) (i32.const 4))) (i32.const 15)))
        (i32.store8 (i32.add (i32.const 16) (local.get $i))
          (i32.add (local.get $digit)
            (select (i32.const 87) (i32.const 48) (i32.gt_u (local.get $digit) (i32.const 9)))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $digits (i32.lt_u (local.get $i) (i32.const 8))))
      (i32.store8 (i32.const 24) (i32.const 10))
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
    (func $sleep
      (i32.store (i32.const 1016) (i32.const 1))
      (i64.store (i32.const 1024) (i64.const ${sleepMs * 1_000_000}))
      (drop (call $poll (i32.const 1000) (i32.const 1100) (i32.const 1) (i32.const 1200))))
    (func (export "_start") (local $at i32) (local $x i32) (local $line i32) (local $i i32)
      (local.set $x (i32.const 7))
      (loop $fill
        (local.set $x (call $next (local.get $x)))
        (i32.store offset=${base} (local.get $at) (local.get $x))
        (local.set $at (i32.add (local.get $at) (i32.const 4)))
        (br_if $fill (i32.le_u (local.get $at) (i32.const ${mask}))))
      (loop $lines
        (local.set $i (i32.const 0))
        (loop $walk
          (local.set $x (call $next (i32.xor (local.get $x) (global.get $sum))))
          (local.set $at (i32.and (local.get $x) (i32.const ${mask})))
          (global.set $sum (i32.add (i32.rotl (global.get $sum) (i32.const 5)) (i32.load offset=${base} (local.get $at))))
          (i32.store offset=${base} (local.get $at) (global.get $sum))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $walk (i32.lt_u (local.get $i) (i32.const ${rounds}))))
        (call $line)
        ${sleepMs > 0 ? '(call $sleep)' : ''}
        (local.set $line (i32.add (local.get $line) (i32.const 1)))
        (br_if $lines (i32.lt_u (local.get $line) (i32.const ${lines}))))))`);
}

/** What a program prints under Node's own WASI. */
export async function underNode(program: Uint8Array, args: string[] = []): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'drvs-node-wasi-'));
  try {
    const path = join(folder, 'program.wasm');
    await writeFile(path, program);
    const script = `
      import { WASI } from 'node:wasi';
      import { readFileSync } from 'node:fs';
      const wasi = new WASI({ version: 'preview1', args: ['program', ...${JSON.stringify(args)}], returnOnExit: true });
      const bytes = readFileSync(${JSON.stringify(path)});
      const { instance } = await WebAssembly.instantiate(bytes, wasi.getImportObject());
      wasi.start(instance);`;
    const { stdout } = await run(process.execPath, ['--no-warnings', '--input-type=module', '-e', script], {
      env: { PATH: process.env.PATH },
      maxBuffer: OUTPUT_BYTES_MOST,
    });
    return stdout;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
