import { DrvsError, type ErrorCode } from '@drvs/contracts';
import { describe, expect, it } from '@jest/globals';
import binaryen from 'binaryen';
import fc from 'fast-check';
import { BinaryWriter } from './binary.js';
import { KNOWN_IMPORTS, knownImport } from './imports.js';
import { parseModule } from './module.js';
import { rewriteModule } from './rewrite.js';
import { refusal, validate } from './validate.js';

function assemble(text: string): Uint8Array {
  const module = binaryen.parseText(text);
  module.setFeatures(binaryen.Features.All);
  try {
    return module.emitBinary();
  } finally {
    module.dispose();
  }
}

function refused(bytes: Uint8Array): DrvsError {
  try {
    const { parsed, imports } = validate(bytes);
    rewriteModule(parsed, (index) => imports[index]?.kind === 'immediate');
  } catch (error) {
    return refusal(error);
  }
  throw new Error('the module was taken');
}

const program = (more: string, start = ''): Uint8Array =>
  assemble(
    `(module ${more.includes('(memory') ? more : `(memory (export "memory") 1) ${more}`} (func (export "_start") ${start}))`,
  );
const text = (string: string): Uint8Array => new TextEncoder().encode(string);

const REFUSALS: [string, () => Uint8Array, ErrorCode, RegExp, RegExp][] = [
  ['an empty file', () => new Uint8Array(), 'NotWebAssembly', /the file is empty/, /Compile for WASI/],
  [
    'a native program',
    () => text('\x7fELF\x02\x01\x01'),
    'NotWebAssembly',
    /native Linux program/,
    /wasm32-wasi/,
  ],
  ['a script', () => text('#!/bin/sh\n'), 'NotWebAssembly', /a script/, /Compile/],
  ['text', () => text('(module)'), 'NotWebAssembly', /WebAssembly text/, /Compile/],
  ['a header alone', () => Uint8Array.of(0, 97, 115, 109), 'NotWebAssembly', /only 4 bytes/, /copy it again/],
  [
    'a component',
    () => Uint8Array.of(0, 97, 115, 109, 13, 0, 1, 0),
    'UnsupportedModule',
    /component/,
    /preview 1/,
  ],
  ['a module cut short', () => program('').slice(0, -3), 'NotWebAssembly', /ends too early/, /copy it again/],
  [
    'an ill-typed function',
    () =>
      Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10, 5, 1, 3, 0, 0x6a, 0x0b),
    'NotWebAssembly',
    /not a valid one/,
    /compile/,
  ],
  [
    'no _start',
    () => assemble('(module (memory 1))'),
    'UnsupportedModule',
    /no function _start/,
    /main function/,
  ],
  [
    'a reactor',
    () => assemble('(module (memory 1) (func (export "_initialize")))'),
    'UnsupportedModule',
    /_start/,
    /reactor/,
  ],
  [
    'a _start with parameters',
    () => assemble('(module (memory 1) (func (export "_start") (param i32)))'),
    'UnsupportedModule',
    /_start must/,
    /WASI/,
  ],
  [
    'no memory',
    () => assemble('(module (func (export "_start")))'),
    'UnsupportedModule',
    /no memory/,
    /WASI program/,
  ],
  ['two memories', () => program('(memory 1) (memory 1)'), 'UnsupportedModule', /2 memories/, /WASI/],
  [
    'an imported memory',
    () => program('(import "env" "memory" (memory 1))'),
    'UnsupportedModule',
    /imports its memory \(env\.memory\)/,
    /--import-memory/,
  ],
  ['a 64-bit memory', () => program('(memory i64 1)'), 'UnsupportedModule', /64-bit/, /wasm32/],
  ['a shared memory', () => program('(memory 1 1 shared)'), 'UnsupportedModule', /shared/, /threads/],
  [
    'an unknown WASI call',
    () => program('(import "wasi_snapshot_preview1" "fd_dance" (func)) (memory 1)'),
    'UnsupportedModule',
    /fd_dance, which does not exist/,
    /guest-programs/,
  ],
  [
    'a call with another signature',
    () => program('(import "wasi_snapshot_preview1" "fd_close" (func (param i64))) (memory 1)'),
    'UnsupportedModule',
    /as \(i64\) -> \(\); it is \(i32\) -> \(i32\)/,
    /declaration/,
  ],
  [
    'an import from a web page',
    () => program('(import "env" "abort" (func (param i32 i32 i32 i32))) (memory 1)'),
    'UnsupportedModule',
    /env\.abort/,
    /--use abort=/,
  ],
  [
    'an imported global',
    () => program('(import "env" "base" (global i32)) (memory 1)'),
    'UnsupportedModule',
    /not a function/,
    /statically/,
  ],
  [
    'exceptions',
    () => program('(tag $e)', '(throw $e)'),
    'UnsupportedModule',
    /exceptions/,
    /-fno-exceptions/,
  ],
  [
    'tail calls',
    () => program('(func $f (return_call $f))'),
    'UnsupportedModule',
    /tail calls/,
    /-mno-tail-call/,
  ],
  [
    'atomics',
    () => program('', '(drop (i32.atomic.load (i32.const 0)))'),
    'UnsupportedModule',
    /atomic/,
    /without threads/,
  ],
  [
    'relaxed SIMD',
    () => program('', '(drop (i8x16.relaxed_swizzle (v128.const i64x2 0 0) (v128.const i64x2 0 0)))'),
    'UnsupportedModule',
    /relaxed SIMD/,
    /-msimd128/,
  ],
  [
    'garbage-collected types',
    () => program('(type $s (struct))', '(drop (struct.new $s))'),
    'UnsupportedModule',
    /garbage/,
    /allocator/,
  ],
  [
    'tables that change',
    () => program('(table 1 funcref)', '(table.set (i32.const 0) (ref.null func))'),
    'UnsupportedModule',
    /tables that change|reference values/,
    /reference types/,
  ],
  [
    'references in variables',
    () => program('', '(local externref)'),
    'UnsupportedModule',
    /reference values/,
    /reference types/,
  ],
  [
    'a variable global of type v128',
    () => program('(global (mut v128) (v128.const i64x2 0 0))'),
    'UnsupportedModule',
    /v128/,
    /memory/,
  ],
  [
    'an export with a name of ours',
    () => program('(func (export "asyncify_start_unwind"))'),
    'UnsupportedModule',
    /asyncify_start_unwind/,
    /DRVS does that/,
  ],
  [
    'another thing named memory',
    () => assemble('(module (memory 1) (func (export "memory")) (func (export "_start")))'),
    'UnsupportedModule',
    /"memory"/,
    /Rename/,
  ],
  [
    'a function with too much code',
    () => withBody(0, 3 * 1024 * 1024),
    'UnsupportedModule',
    /at most/,
    /Split/,
  ],
  ['too many locals', () => withBody(30_000, 0), 'UnsupportedModule', /30000 local variables/, /Split/],
];

/** A program whose function has so many locals and instructions, by hand: an assembler would drop them. */
function withBody(locals: number, nops: number): Uint8Array {
  const section = (w: BinaryWriter, id: number, content: BinaryWriter) => w.u8(id).sized(content);
  const w = new BinaryWriter().raw(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0));
  section(w, 1, new BinaryWriter().raw(Uint8Array.of(1, 0x60, 0, 0)));
  section(w, 3, new BinaryWriter().raw(Uint8Array.of(1, 0)));
  section(w, 5, new BinaryWriter().raw(Uint8Array.of(1, 0, 1)));
  section(w, 7, new BinaryWriter().u32(1).name('_start').u8(0).u32(0));
  const body = new BinaryWriter().u32(1).u32(locals).u8(0x7f).raw(new Uint8Array(nops).fill(1)).u8(0x0b);
  section(w, 10, new BinaryWriter().u32(1).sized(body));
  return w.result();
}

describe('a module that cannot run is refused with cause and remedy', () => {
  it.each(REFUSALS)('%s', (_name, module, code, message, hint) => {
    const error = refused(module());
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
    expect(error.hint).toMatch(hint);
  });
});

describe('damaged modules', () => {
  const whole = assemble(`(module
    (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1) (global $g (mut i32) (i32.const 3)) (table 2 funcref) (elem (i32.const 0) $f $f)
    (data (i32.const 8) "abc") (start $f)
    (func $f (local i32) (loop $l (br_if $l (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 9)))))
    (func (export "_start") (call $f) (drop (call $w (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))))`);

  const isHandled = (bytes: Uint8Array): void => {
    try {
      const { parsed, imports } = validate(bytes);
      rewriteModule(parsed, (index) => imports[index]?.kind === 'immediate');
    } catch (error) {
      const told = refusal(error);
      expect(told).toBeInstanceOf(DrvsError);
      expect(['NotWebAssembly', 'UnsupportedModule']).toContain(told.code);
      expect(told.hint).toBeTruthy();
    }
  };

  it('are refused or taken, whatever bytes are changed', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
        (changes) => {
          const bytes = whole.slice();
          for (const [at, value] of changes) bytes[at] = value;
          isHandled(bytes);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('are refused or taken, whatever follows the header', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (rest) =>
        isHandled(Uint8Array.from([0, 97, 115, 109, 1, 0, 0, 0, ...rest])),
      ),
      { numRuns: 500 },
    );
  });

  it('never lead the reader out of bounds, even when nobody has validated them', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
        (changes) => {
          const bytes = whole.slice();
          for (const [at, value] of changes) bytes[at] = value;
          try {
            parseModule(bytes);
          } catch (error) {
            expect(['NotWebAssembly', 'UnsupportedModule']).toContain(refusal(error).code);
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('the table of imports', () => {
  it('has all of WASI preview 1 under both names, and the dvos module', () => {
    const count = (module: string) => KNOWN_IMPORTS.filter((known) => known.module === module).length;
    expect(count('wasi_snapshot_preview1')).toBe(46);
    expect(count('wasi_unstable')).toBe(46);
    expect(count('dvos')).toBe(17);
  });

  it('tells calls that may suspend from those that never do', () => {
    expect(knownImport('wasi_snapshot_preview1', 'fd_read')).toMatchObject({
      kind: 'blocking',
      parameters: ['i32', 'i32', 'i32', 'i32'],
    });
    expect(knownImport('dvos', 'getpid')).toMatchObject({
      kind: 'immediate',
      parameters: [],
      results: ['i32'],
    });
    expect(knownImport('dvos', 'fly')).toBeUndefined();
  });
});
