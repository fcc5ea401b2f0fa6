import { BinaryReader, BinaryWriter } from './binary.js';

/**
 * The custom section of the branch hinting proposal, which goes before the code: tells the engine which branches are
 * seldom taken, so that it keeps what safe points and unwinding need out of the way of the hot code. An engine that
 * does not know it passes over it (V8 of Node 24 takes it with --experimental-wasm-branch-hinting).
 */
const SECTION = 'metadata.code.branch_hint';
const UNLIKELY = 0;

/** function index -> byte offsets, from the start of the function's locals, of its `if` and `br_if` that are unlikely */
export type BranchHints = Map<number, number[]>;

export function writeBranchHints(out: BinaryWriter, hints: BranchHints): void {
  const functions = [...hints].filter(([, offsets]) => offsets.length > 0).sort(([a], [b]) => a - b);
  if (functions.length === 0) return;
  const section = new BinaryWriter(1024).name(SECTION).u32(functions.length);
  for (const [index, offsets] of functions) {
    section.u32(index).u32(offsets.length);
    for (const offset of offsets.sort((a, b) => a - b)) section.u32(offset).u32(1).u8(UNLIKELY);
  }
  out.u8(0).sized(section);
}

/** Reads what `writeBranchHints` wrote. */
export function readBranchHints(bytes: Uint8Array): BranchHints {
  const hints: BranchHints = new Map();
  const reader = new BinaryReader(bytes, 8);
  while (!reader.isDone) {
    const id = reader.u8();
    const size = reader.u32();
    const section = new BinaryReader(bytes, reader.at, reader.at + size);
    reader.skip(size);
    if (id !== 0 || section.name() !== SECTION) continue;
    for (let functions = section.u32(); functions > 0; functions--) {
      const index = section.u32();
      const offsets: number[] = [];
      for (let count = section.u32(); count > 0; count--) {
        offsets.push(section.u32());
        section.skip(section.u32());
      }
      hints.set(index, offsets);
    }
  }
  return hints;
}
