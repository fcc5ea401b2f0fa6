import { DrvsError } from '@drvs/contracts';
import { describe, expect, it } from '@jest/globals';
import binaryen from 'binaryen';
import fc from 'fast-check';
import { instrument } from './instrument.js';
import { LOADER_VERSION, readMeta } from './meta.js';
import { Miniature, type MiniatureOptions, StoppedByTest } from './miniature-kernel.js';

/** The text format -> a module. */
function assemble(text: string): Uint8Array {
  const module = binaryen.parseText(text);
  module.setFeatures(
    binaryen.Features.BulkMemory |
      binaryen.Features.MutableGlobals |
      binaryen.Features.SignExt |
      binaryen.Features.Multivalue |
      binaryen.Features.NontrappingFPToInt |
      binaryen.Features.SIMD128,
  );
  try {
    return module.emitBinary();
  } finally {
    module.dispose();
  }
}

const WRITE = `
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func $put (param $value i64)
    (i64.store (i32.const 64) (local.get $value))
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 8))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func $put32 (param $value i32) (call $put (i64.extend_i32_u (local.get $value))))`;

/** Small programs, each with a way of its own to be in the middle of something. Each prints i64 values. */
const PROGRAMS: Record<string, string> = {
  'nested loops with an innermost one in exit form': `(module ${WRITE}
    (func (export "_start") (local $i i32) (local $j i32) (local $sum i32)
      (loop $outer
        (local.set $j (i32.const 0))
        (loop $inner
          (local.set $sum (i32.add (local.get $sum) (i32.xor (local.get $i) (local.get $j))))
          (br_if $inner (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 1))) (i32.const 1500))))
        (call $put32 (local.get $sum))
        (br_if $outer (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 20))))))`,
  'an exit-form loop that is left in every way': `(module ${WRITE}
    (func $leave (param $way i32) (param $n i32) (result i32) (local $i i32)
      (block $far (result i32)
        (drop (block $near (result i32)
          (loop $l (result i32)
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (if (i32.eq (local.get $i) (local.get $n)) (then
              (if (i32.eq (local.get $way) (i32.const 0)) (then (return (local.get $i))))
              (if (i32.eq (local.get $way) (i32.const 1)) (then (br $far (i32.mul (local.get $i) (i32.const 3)))))
              (if (i32.eq (local.get $way) (i32.const 2)) (then (br $near (i32.mul (local.get $i) (i32.const 5)))))
              (if (i32.eq (local.get $way) (i32.const 3)) (then
                (br_table $near $far (i32.mul (local.get $i) (i32.const 7)) (i32.and (local.get $i) (i32.const 1)))))))
            (br_if $l (i32.lt_u (local.get $i) (i32.add (local.get $n) (i32.const 10))))
            (local.get $i))))
        (i32.const 77)))
    (func (export "_start") (local $way i32)
      (loop $l
        (call $put32 (call $leave (local.get $way) (i32.const 3)))
        (call $put32 (call $leave (local.get $way) (i32.const 5000)))
        (br_if $l (i32.lt_u (local.tee $way (i32.add (local.get $way) (i32.const 1))) (i32.const 5))))))`,
  'recursion with values on the operand stack': `(module ${WRITE}
    (func $fib (param $n i32) (result i32)
      (if (result i32) (i32.lt_u (local.get $n) (i32.const 2))
        (then (local.get $n))
        (else (i32.add (call $fib (i32.sub (local.get $n) (i32.const 1)))
                       (call $fib (i32.sub (local.get $n) (i32.const 2)))))))
    (func (export "_start") (call $put32 (call $fib (i32.const 15)))))`,
  'mutual recursion through a table': `(module
    (type $f (func (param i32) (result i32))) ${WRITE}
    (table 2 2 funcref) (elem (i32.const 0) $even $odd)
    (func $even (type $f) (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 1))
      (else (call_indirect (type $f) (i32.sub (local.get 0) (i32.const 1)) (i32.const 1)))))
    (func $odd (type $f) (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 0))
      (else (call_indirect (type $f) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0)))))
    (func (export "_start") (local $i i32)
      (loop $l (call $put32 (call $even (local.get $i)))
        (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 7))) (i32.const 150))))))`,
  'globals of every type, a start function and a grown memory': `(module ${WRITE}
    (global $a (mut i32) (i32.const 1)) (global $b (mut i64) (i64.const 2))
    (global $c (mut f32) (f32.const 3)) (global $d (mut f64) (f64.const 4)) (global $k i32 (i32.const 9))
    (data (i32.const 1000) "initial")
    (func $init (global.set $a (i32.add (global.get $a) (i32.const 100))) (i32.store8 (i32.const 1000) (i32.const 65)))
    (start $init)
    (func (export "_start") (local $i i32)
      (call $put32 (memory.grow (i32.const 2)))
      (call $put32 (memory.grow (i32.const 1000000)))
      (loop $l
        (global.set $a (i32.add (global.get $a) (i32.const 1)))
        (global.set $b (i64.mul (global.get $b) (i64.const 3)))
        (global.set $c (f32.mul (global.get $c) (f32.const 1.25)))
        (global.set $d (f64.div (global.get $d) (f64.const 1.1)))
        (i32.store (i32.add (i32.const 150000) (i32.mul (local.get $i) (i32.const 4))) (global.get $a))
        (call $put32 (global.get $a)) (call $put (global.get $b))
        (call $put32 (i32.reinterpret_f32 (global.get $c))) (call $put (i64.reinterpret_f64 (global.get $d)))
        (call $put (i64.load (i32.const 1000)))
        (call $put32 (i32.load (i32.const 150004))) (call $put32 (memory.size))
        (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 10))))))`,
  'locals of every type, across a call in the middle of an expression': `(module ${WRITE}
    (func $next (param i64) (result i64) (call $put (local.get 0)) (i64.add (local.get 0) (i64.const 1)))
    (func (export "_start") (local $a i64) (local $b f32) (local $c f64) (local $v v128) (local $i i32)
      (local.set $b (f32.const 1.5)) (local.set $c (f64.const 2.5)) (local.set $v (v128.const i64x2 5 6))
      (loop $l
        (local.set $a (i64.add (i64.mul (call $next (local.get $a)) (i64.const 3))
          (select (call $next (i64.const 10)) (call $next (i64.const 20)) (i32.and (local.get $i) (i32.const 1)))))
        (local.set $b (f32.add (local.get $b) (f32.convert_i64_s (local.get $a))))
        (local.set $c (f64.mul (local.get $c) (f64.convert_i64_s (local.get $a))))
        (local.set $v (i64x2.add (local.get $v) (i64x2.splat (local.get $a))))
        (call $put32 (i32.reinterpret_f32 (local.get $b))) (call $put (i64.reinterpret_f64 (local.get $c)))
        (call $put (i64x2.extract_lane 1 (local.get $v)))
        (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 8))))))`,
  'several results, bulk memory and a loop with a switch': `(module ${WRITE}
    (func $pair (param i32) (result i32 i64)
      (call $put32 (local.get 0)) (i32.add (local.get 0) (i32.const 1)) (i64.const 7))
    (func (export "_start") (local $i i32) (local $x i64)
      (loop $l
        (memory.fill (i32.const 2000) (local.get $i) (i32.const 9000))
        (memory.copy (i32.const 20000) (i32.const 2000) (i32.add (i32.const 5000) (local.get $i)))
        (block $d (block $c (block $b (block $a
          (br_table $a $b $c $d (i32.rem_u (local.get $i) (i32.const 4))))
          (call $put (i64.load (i32.const 20000))) (br $d))
          (call $pair (local.get $i)) (local.set $x) (local.set $i))
          (call $put (local.get $x)))
        (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 40))))))`,
};

/** Runs the original module under the same calls, never suspended. */
function runPlain(module: Uint8Array): Uint8Array {
  const parts: number[] = [];
  let memory: WebAssembly.Memory;
  const fd_write = (_fd: number, vectors: number, count: number, written: number): number => {
    const view = new DataView(memory.buffer);
    let total = 0;
    for (let i = 0; i < count; i++) {
      const at = view.getUint32(vectors + 8 * i, true);
      const length = view.getUint32(vectors + 8 * i + 4, true);
      parts.push(...new Uint8Array(memory.buffer, at, length));
      total += length;
    }
    view.setUint32(written, total, true);
    return 0;
  };
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module), {
    wasi_snapshot_preview1: { fd_write },
  });
  memory = instance.exports.memory as WebAssembly.Memory;
  (instance.exports._start as () => void)();
  return Uint8Array.from(parts);
}

const run = (module: Uint8Array, options: MiniatureOptions) => new Miniature(module, options).run();

describe('a program that is suspended and moved', () => {
  for (const [name, text] of Object.entries(PROGRAMS)) {
    const original = assemble(text);
    const { module } = instrument(original);
    const expected = runPlain(original);

    it(`prints the same when nothing happens to it: ${name}`, () => {
      expect(run(module, {}).output).toEqual(expected);
    });

    it(`prints the same when it is moved at every safe point and call: ${name}`, () => {
      const result = run(module, { fuel: 0, at: () => 'move' });
      expect(result.output).toEqual(expected);
      expect(result.moves).toBeGreaterThan(5);
    });

    it(`prints the same under any schedule of stays, unwindings and moves: ${name}`, () => {
      fc.assert(
        fc.property(
          fc.integer({ min: 0, max: 3000 }),
          fc.array(fc.nat(2), { minLength: 1, maxLength: 40 }),
          (fuel, plan) => {
            const at = (_: string, n: number) =>
              (['stay', 'unwind', 'move'] as const)[plan[n % plan.length]!]!;
            expect(run(module, { fuel, at }).output).toEqual(expected);
          },
        ),
        { numRuns: 25 },
      );
    });
  }
});

describe('a hostile program', () => {
  const endless = (code: string, more = '') =>
    instrument(assemble(`(module ${WRITE} ${more} (func (export "_start") (local $i i32) ${code}))`)).module;
  const stops = (module: Uint8Array) =>
    expect(() => run(module, { fuel: 1000, at: () => 'unwind', maximumSuspensions: 50 })).toThrow(
      StoppedByTest,
    );

  it('cannot keep the thread by an empty loop', () => stops(endless('(loop $l (br $l))')));
  it('cannot keep the thread by a loop that branches in the middle', () =>
    stops(endless('(block $out (loop $l (br_if $l (i32.eqz (local.get $i))) (br $out)))')));
  it('cannot keep the thread by nested short loops', () =>
    stops(
      endless(`(loop $a (local.set $i (i32.const 0))
        (loop $b (br_if $b (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 3)))) (br $a))`),
    ));
  it('cannot keep the thread by calls that double without recursion', () => {
    const levels = 60;
    const doubling = Array.from(
      { length: levels },
      (_, i) =>
        `(func $f${i} ${i === 0 ? '(i32.store (i32.const 0) (i32.const 1))' : `(call $f${i - 1}) (call $f${i - 1})`})`,
    ).join('\n');
    stops(endless(`(call $f${levels - 1})`, doubling));
  });
  it('cannot keep the thread by indirect calls that double', () => {
    const levels = 50;
    const doubling = Array.from({ length: levels }, (_, i) =>
      i === 0
        ? '(func $f0 (i32.store (i32.const 0) (i32.const 1)))'
        : `(func $f${i} (call_indirect (i32.const ${i - 1})) (call_indirect (i32.const ${i - 1})))`,
    ).join('\n');
    const names = Array.from({ length: levels }, (_, i) => `$f${i}`).join(' ');
    stops(
      endless(
        `(call $f${levels - 1})`,
        `(table ${levels} funcref) (elem (i32.const 0) ${names}) ${doubling}`,
      ),
    );
  });
  it('cannot keep the thread by recursion that doubles', () =>
    stops(
      endless(
        '(call $r (i32.const 60))',
        '(func $r (param i32) (if (local.get 0) (then (call $r (i32.sub (local.get 0) (i32.const 1))) (call $r (i32.sub (local.get 0) (i32.const 1))))))',
      ),
    ));
  it('spends fuel by the bytes that it copies', () =>
    stops(
      endless(
        '(loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.sub (i32.const 60000) (local.get $i))) (br $l))',
      ),
    ));

  const recursion = endless(
    '(call $r)',
    '(global $depth (mut i32) (i32.const 0)) (func $r (global.set $depth (i32.add (global.get $depth) (i32.const 1))) (call $r) (global.set $depth (i32.const 0)))',
  );
  it('that recurses without end ends in a RangeError', () => {
    expect(() => run(recursion, { fuel: 1_000_000_000 })).toThrow(RangeError);
  });
  it('whose unwound stack does not fit its slot ends in a trap', () => {
    const deep = endless(
      '(call $r (i32.const 500) (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4))',
      `(func $r (param i32 i64 i64 i64 i64)
        (if (local.get 0) (then (call $r (i32.sub (local.get 0) (i32.const 1)) (i64.add (local.get 1) (i64.const 1)) (local.get 2) (local.get 3) (local.get 4)))
          (else (call $put (i64.const 5))))
        (call $put (local.get 1)) (call $put (local.get 2)) (call $put (local.get 3)) (call $put (local.get 4)))`,
    );
    let calls = 0;
    const at = (place: string) =>
      (place === 'call' && ++calls === 1 ? 'unwind' : 'stay') as 'unwind' | 'stay';
    expect(() => run(deep, { stackBytes: 4096, at })).toThrow(WebAssembly.RuntimeError);
  });
});

describe('a program made to keep the loader busy', () => {
  const takes = (text: string): number => {
    const module = assemble(text);
    const start = performance.now();
    try {
      instrument(module);
    } catch (error) {
      expect(error).toBeInstanceOf(DrvsError);
    }
    return performance.now() - start;
  };
  const program = (code: string) => `(module ${WRITE} (func (export "_start") (local $i i32) ${code}))`;
  const LIMIT_MS = 5000; // seconds less than what a quadratic step would take

  it('gets nowhere with loops in deep blocks', () => {
    const depth = 500;
    expect(
      takes(
        program(
          `${'(block '.repeat(depth)}${'(loop $l (br_if $l (local.get $i)))'.repeat(5000)}${')'.repeat(depth)}`,
        ),
      ),
    ).toBeLessThan(LIMIT_MS);
  });
  it('gets nowhere with many operands over many calls', () => {
    const sum = `${'(i32.add (local.get $i) '.repeat(2000)}(block (result i32) ${'(call $put32 (i32.const 1))'.repeat(2000)} (i32.const 1))${')'.repeat(2000)}`;
    expect(takes(program(`(local.set $i ${sum})`))).toBeLessThan(LIMIT_MS);
  });
});

describe('the description of an instrumented module', () => {
  it('says what an image is made of', () => {
    const { module, notes } = instrument(
      assemble(PROGRAMS['globals of every type, a start function and a grown memory']!),
    );
    const meta = readMeta(module);
    expect(meta).toMatchObject({
      loaderVersion: LOADER_VERSION,
      memory: { initialPages: 1, maximumPages: null },
      fuelType: 'i32',
      globals: [
        { export: 'drvs.g0', type: 'i32' },
        { export: 'drvs.g1', type: 'i64' },
        { export: 'drvs.g2', type: 'f32' },
        { export: 'drvs.g3', type: 'f64' },
      ],
      tables: [],
      imports: [{ module: 'wasi_snapshot_preview1', name: 'fd_write', kind: 'blocking' }],
      hasStartSection: true,
    });
    expect(notes).toHaveLength(1);
  });

  it('is the same, to the byte, each time', () => {
    const original = assemble(PROGRAMS['recursion with values on the operand stack']!);
    expect(instrument(original).module).toEqual(instrument(original).module);
  });

  it('is not found in a module that was not instrumented', () => {
    expect(() => readMeta(assemble(`(module ${WRITE})`))).toThrow(/not been instrumented/);
  });
});
