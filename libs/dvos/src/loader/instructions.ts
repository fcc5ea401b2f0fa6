import { type BinaryReader, MalformedModule } from './binary.js';

/** Opcodes that the loader must know by name (core specification, appendix "Index of Instructions"). */
export const op = {
  unreachable: 0x00,
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  end: 0x0b,
  br: 0x0c,
  brIf: 0x0d,
  brTable: 0x0e,
  return: 0x0f,
  call: 0x10,
  callIndirect: 0x11,
  selectTyped: 0x1c,
  localGet: 0x20,
  localSet: 0x21,
  localTee: 0x22,
  globalGet: 0x23,
  globalSet: 0x24,
  memoryGrow: 0x40,
  i32Const: 0x41,
  i64Const: 0x42,
  f32Const: 0x43,
  f64Const: 0x44,
  i32Eqz: 0x45,
  i32Eq: 0x46,
  i32GtU: 0x4b,
  i32LeU: 0x4d,
  i32LtS: 0x48,
  i32Add: 0x6a,
  i32Sub: 0x6b,
  i32ShrU: 0x76,
  refNull: 0xd0,
  refFunc: 0xd2,
  bulk: 0xfc,
  simd: 0xfd,
} as const;

export const bulkOp = {
  memoryInit: 8,
  dataDrop: 9,
  memoryCopy: 10,
  memoryFill: 11,
  elemDrop: 13,
  tableSize: 16,
} as const;

export const EMPTY_BLOCK = 0x40;

/** An instruction that the loader refuses; `feature` is its proposal's name, for the error. */
export class UnsupportedInstruction extends Error {
  constructor(
    readonly feature: string,
    readonly remedy: string,
  ) {
    super(feature);
  }
}

const EXCEPTIONS = 'Compile without exceptions (C++: -fno-exceptions; Rust: -C panic=abort).';
const REFERENCES = 'Compile without reference types that live in variables (LLVM: -mno-reference-types).';
const THREADS = 'Compile for a target without threads (wasm32-wasip1, not wasm32-wasip1-threads).';

/** What a decoded instruction left behind; one object is used again and again, so that decoding allocates nothing. */
export class Instruction {
  /** the first byte; with `bulk` and `simd`, `sub` says which */
  code = 0;
  sub = 0;
  /** byte offsets of the whole instruction */
  start = 0;
  end = 0;
  /** branch depth, function index, type index, local or global index, constant: what the instruction has */
  immediate = 0;
  /** the table of a call_indirect */
  table = 0;
  /** the depths of a br_table, the default last */
  depths: number[] = [];
}

/** Decodes the instruction at the reader. Everything beyond the supported features throws UnsupportedInstruction. */
export function decode(reader: BinaryReader, into: Instruction): void {
  into.start = reader.at;
  const code = reader.u8();
  into.code = code;
  if (code >= 0x45 && code <= 0xc4) {
    // numeric instructions have no immediates
  } else if (code >= 0x28 && code <= 0x3e) skipMemoryArgument(reader);
  else
    switch (code) {
      case op.unreachable:
      case 0x01: // nop
      case op.else:
      case op.end:
      case op.return:
      case 0x1a: // drop
      case 0x1b: // select
        break;
      case op.block:
      case op.loop:
      case op.if:
        into.immediate = readBlockType(reader);
        break;
      case op.br:
      case op.brIf:
      case op.call:
      case op.localGet:
      case op.localSet:
      case op.localTee:
      case op.globalGet:
      case op.globalSet:
      case 0x3f: // memory.size
      case op.memoryGrow:
        into.immediate = reader.u32();
        break;
      case op.brTable: {
        const count = reader.u32();
        if (count > reader.end - reader.at)
          throw new MalformedModule('a br_table is longer than its function');
        into.depths.length = 0;
        for (let i = 0; i <= count; i++) into.depths.push(reader.u32());
        break;
      }
      case op.callIndirect:
        into.immediate = reader.u32();
        into.table = reader.u32();
        break;
      case op.selectTyped:
        for (let count = reader.u32(); count > 0; count--) requireNumber(reader.u8());
        break;
      case op.i32Const:
        into.immediate = reader.s32();
        break;
      case op.i64Const:
        reader.skipLeb();
        break;
      case op.f32Const:
        reader.skip(4);
        break;
      case op.f64Const:
        reader.skip(8);
        break;
      case op.bulk:
        decodeBulk(reader, into);
        break;
      case op.simd:
        decodeSimd(reader, into);
        break;
      default:
        throw refusal(code);
    }
  into.end = reader.at;
}

/** The raw block type: 0x40, a value type's byte, or 256 + type index. */
function readBlockType(reader: BinaryReader): number {
  const first = reader.bytes[reader.at];
  if (first === EMPTY_BLOCK) {
    reader.at++;
    return EMPTY_BLOCK;
  }
  if (first !== undefined && first >= 0x63 && first <= 0x7f) {
    reader.at++;
    requireNumber(first);
    return first;
  }
  return 256 + reader.u32();
}

export function writeBlockTypeBytes(blockType: number): number[] {
  if (blockType < 256) return [blockType];
  // A type index is a *signed* number here, so that it cannot be taken for a value type.
  const bytes: number[] = [];
  let rest = blockType - 256;
  for (;;) {
    const byte = rest & 0x7f;
    rest >>= 7;
    if (rest === 0 && (byte & 0x40) === 0) return [...bytes, byte];
    bytes.push(byte | 0x80);
  }
}

export function requireNumber(valueType: number): void {
  if (valueType < 0x7b || valueType > 0x7f) throw new UnsupportedInstruction('reference values', REFERENCES);
}

function skipMemoryArgument(reader: BinaryReader): void {
  const flags = reader.u32();
  if ((flags & 0x40) !== 0) reader.u32();
  reader.skipLeb();
}

function decodeBulk(reader: BinaryReader, into: Instruction): void {
  into.sub = reader.u32();
  if (into.sub <= 7) return; // saturating truncations
  switch (into.sub) {
    case bulkOp.memoryInit:
    case bulkOp.memoryCopy:
      reader.u32();
      reader.u32();
      return;
    case bulkOp.dataDrop:
    case bulkOp.memoryFill:
    case bulkOp.elemDrop:
    case bulkOp.tableSize:
      reader.u32();
      return;
    case 12:
    case 14:
    case 15:
    case 17:
      throw new UnsupportedInstruction('tables that change at run time', REFERENCES);
    default:
      throw new UnsupportedInstruction(`instruction 0xfc ${into.sub}`, 'Compile for plain WebAssembly 2.0.');
  }
}

function decodeSimd(reader: BinaryReader, into: Instruction): void {
  const sub = reader.u32();
  into.sub = sub;
  if (sub <= 11 || sub === 92 || sub === 93) skipMemoryArgument(reader);
  else if (sub === 12 || sub === 13) reader.skip(16);
  else if (sub >= 21 && sub <= 34) reader.skip(1);
  else if (sub >= 84 && sub <= 91) {
    skipMemoryArgument(reader);
    reader.skip(1);
  } else if (sub > 255)
    throw new UnsupportedInstruction(
      'relaxed SIMD, whose results differ between machines',
      'Compile with -msimd128 alone, without -mrelaxed-simd.',
    );
}

function refusal(code: number): Error {
  if (code >= 0x06 && code <= 0x0a) return new UnsupportedInstruction('exceptions', EXCEPTIONS);
  if (code === 0x18 || code === 0x19 || code === 0x1f)
    return new UnsupportedInstruction('exceptions', EXCEPTIONS);
  if (code === 0x12 || code === 0x13)
    return new UnsupportedInstruction('tail calls', 'Compile without tail calls (LLVM: -mno-tail-call).');
  if (code === 0x25 || code === 0x26)
    return new UnsupportedInstruction('tables that change at run time', REFERENCES);
  if (code === 0xfe) return new UnsupportedInstruction('atomic instructions', THREADS);
  if (code === 0xfb || code === 0x14 || code === 0x15)
    return new UnsupportedInstruction(
      'garbage-collected types',
      'Use a compiler that brings its own allocator.',
    );
  if (code >= 0xd0 && code <= 0xd6) return new UnsupportedInstruction('reference values', REFERENCES);
  return new MalformedModule(`unknown instruction 0x${code.toString(16)}`);
}
