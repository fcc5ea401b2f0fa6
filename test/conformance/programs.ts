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

/**
 * Writes the numbers 1 to `lines`, six digits and a line feed each, to its standard output, to the file `path` and to a
 * file that it has removed as soon as it was open, `sleepMs` apart; then it reads the removed file and prints that.
 */
export function scribe({
  path,
  lines,
  sleepMs,
}: {
  path: string;
  lines: number;
  sleepMs: number;
}): Uint8Array {
  const removed = `${path}.removed`;
  return assemble(`(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_seek" (func $seek (param i32 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
      (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\\40\\00\\00\\00\\07\\00\\00\\00")
    (data (i32.const 256) "${path}")
    (data (i32.const 512) "${removed}")
    (func $must (param $status i32) (if (local.get $status) (then (unreachable))))
    (func $create (param $path i32) (param $length i32) (result i32)
      (call $must (call $open (i32.const 3) (i32.const 0) (local.get $path) (local.get $length)
        (i32.const 9) (i64.const 0x1fffffff) (i64.const 0) (i32.const 0) (i32.const 96)))
      (i32.load (i32.const 96)))
    (func $put (param $file i32)
      (call $must (call $write (local.get $file) (i32.const 0) (i32.const 1) (i32.const 8)))
      (call $must (i32.ne (i32.load (i32.const 8)) (i32.const 7))))
    (func $sleep
      (i32.store (i32.const 1016) (i32.const 1))
      (i64.store (i32.const 1024) (i64.const ${sleepMs * 1_000_000}))
      (drop (call $poll (i32.const 1000) (i32.const 1100) (i32.const 1) (i32.const 1200))))
    (func (export "_start") (local $file i32) (local $removed i32) (local $line i32) (local $i i32) (local $x i32)
      (local.set $file (call $create (i32.const 256) (i32.const ${path.length})))
      (local.set $removed (call $create (i32.const 512) (i32.const ${removed.length})))
      (call $must (call $unlink (i32.const 3) (i32.const 512) (i32.const ${removed.length})))
      (loop $lines
        (local.set $line (i32.add (local.get $line) (i32.const 1)))
        (local.set $x (local.get $line))
        (local.set $i (i32.const 69))
        (loop $digits
          (i32.store8 (local.get $i) (i32.add (i32.const 48) (i32.rem_u (local.get $x) (i32.const 10))))
          (local.set $x (i32.div_u (local.get $x) (i32.const 10)))
          (local.set $i (i32.sub (local.get $i) (i32.const 1)))
          (br_if $digits (i32.ge_u (local.get $i) (i32.const 64))))
        (i32.store8 (i32.const 70) (i32.const 10))
        (call $put (local.get $file))
        (call $put (local.get $removed))
        (call $put (i32.const 1))
        (call $sleep)
        (br_if $lines (i32.lt_u (local.get $line) (i32.const ${lines}))))
      (call $must (call $seek (local.get $removed) (i64.const 0) (i32.const 0) (i32.const 104)))
      (loop $again
        (call $must (call $read (local.get $removed) (i32.const 0) (i32.const 1) (i32.const 8)))
        (if (i32.eq (i32.load (i32.const 8)) (i32.const 7))
          (then (call $put (i32.const 1)) (br $again))))))`);
}

/** What `scribe` writes to its file; it prints that twice. */
export function scribed(lines: number): string {
  return Array.from({ length: lines }, (_, line) => `${String(line + 1).padStart(6, '0')}\n`).join('');
}
