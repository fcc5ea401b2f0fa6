import { bulkOp, type Instruction, op } from './instructions.js';

/** The binary form of the number types. */
export const I32 = 0x7f;
export const I64 = 0x7e;
export const F32 = 0x7d;
export const F64 = 0x7c;
export const V128 = 0x7b;

/** What an instruction takes from the operand stack (how many) and puts on it (a type, or 0 for nothing). */
interface Effect {
  pops: number;
  pushes: number;
}

const SIMPLE: Effect[] = [];
const effect = (from: number, to: number, pops: number, pushes: number): void => {
  for (let code = from; code <= to; code++) SIMPLE[code] = { pops, pushes };
};
effect(0x01, 0x01, 0, 0); // nop
effect(0x1a, 0x1a, 1, 0); // drop
effect(0x28, 0x28, 1, I32);
effect(0x29, 0x29, 1, I64);
effect(0x2a, 0x2a, 1, F32);
effect(0x2b, 0x2b, 1, F64);
effect(0x2c, 0x2f, 1, I32);
effect(0x30, 0x35, 1, I64);
effect(0x36, 0x3e, 2, 0);
effect(0x3f, 0x3f, 0, I32);
effect(0x40, 0x40, 1, I32);
effect(0x41, 0x41, 0, I32);
effect(0x42, 0x42, 0, I64);
effect(0x43, 0x43, 0, F32);
effect(0x44, 0x44, 0, F64);
effect(0x45, 0x45, 1, I32);
effect(0x46, 0x4f, 2, I32);
effect(0x50, 0x50, 1, I32);
effect(0x51, 0x66, 2, I32);
effect(0x67, 0x69, 1, I32);
effect(0x6a, 0x78, 2, I32);
effect(0x79, 0x7b, 1, I64);
effect(0x7c, 0x8a, 2, I64);
effect(0x8b, 0x91, 1, F32);
effect(0x92, 0x98, 2, F32);
effect(0x99, 0x9f, 1, F64);
effect(0xa0, 0xa6, 2, F64);
effect(0xa7, 0xab, 1, I32);
effect(0xac, 0xb1, 1, I64);
effect(0xb2, 0xb6, 1, F32);
effect(0xb7, 0xbb, 1, F64);
effect(0xbc, 0xbc, 1, I32);
effect(0xbd, 0xbd, 1, I64);
effect(0xbe, 0xbe, 1, F32);
effect(0xbf, 0xbf, 1, F64);
effect(0xc0, 0xc1, 1, I32);
effect(0xc2, 0xc4, 1, I64);

const SIMD: Effect[] = [];
const simd = (pops: number, pushes: number, ...codes: (number | [number, number])[]): void => {
  for (const code of codes) {
    const [from, to] = typeof code === 'number' ? [code, code] : code;
    for (let i = from; i <= to; i++) SIMD[i] = { pops, pushes };
  }
};
simd(2, V128, [0, 255]); // most are binary; the others follow
simd(1, V128, [0, 10], 92, 93); // loads
simd(2, 0, 11, [88, 91]); // stores
simd(0, V128, 12);
simd(1, V128, [15, 20]); // splat
simd(1, I32, 21, 22, 24, 25, 27); // extract_lane
simd(1, I64, 29);
simd(1, F32, 31);
simd(1, F64, 33);
simd(1, V128, 77, 94, 95, [96, 98], [103, 106], 0x74, 0x75, 0x7a, [0x7c, 0x81]);
simd(3, V128, 82); // bitselect
simd(1, I32, 83, 99, 100, 0x83, 0x84, 0xa3, 0xa4, 0xc3, 0xc4); // any_true, all_true, bitmask
simd(1, V128, [0x87, 0x8a], 0x94, 0xa0, 0xa1, [0xa7, 0xaa], 0xc0, 0xc1, [0xc7, 0xca]);
simd(1, V128, 0xe0, 0xe1, 0xe3, 0xec, 0xed, 0xef, [0xf8, 0xff]);

/** Effect of an instruction other than control, calls, locals, globals and `select`; null for those. */
export function simpleEffect({ code, sub }: Instruction): Effect | null {
  if (code === op.simd) return SIMD[sub] ?? null;
  if (code === op.bulk) return bulkEffect(sub);
  return SIMPLE[code] ?? null;
}

const SATURATING: Effect[] = [I32, I32, I32, I32, I64, I64, I64, I64].map((pushes) => ({ pops: 1, pushes }));
const COPY: Effect = { pops: 3, pushes: 0 };
const NOTHING: Effect = { pops: 0, pushes: 0 };
const SIZE: Effect = { pops: 0, pushes: I32 };

function bulkEffect(sub: number): Effect | null {
  if (sub <= 7) return SATURATING[sub]!;
  if (sub === bulkOp.memoryInit || sub === bulkOp.memoryCopy || sub === bulkOp.memoryFill) return COPY;
  if (sub === bulkOp.dataDrop || sub === bulkOp.elemDrop) return NOTHING;
  return sub === bulkOp.tableSize ? SIZE : null;
}
