import { BinaryReader, MalformedModule } from './binary.js';
import { op, requireNumber, UnsupportedInstruction } from './instructions.js';

/** A module taken apart as far as the loader needs it; ranges are byte offsets into `bytes`. */
export interface ParsedModule {
  bytes: Uint8Array;
  types: FunctionType[];
  imports: ParsedImport[];
  importedFunctions: ParsedImport[];
  /** type index of each function that the module defines */
  functions: number[];
  tables: { raw: Range; elementType: number }[];
  memories: Limits[];
  globals: { type: number; isMutable: boolean; initializer: Range }[];
  exports: { name: string; kind: number; index: number }[];
  start: number | undefined;
  elements: { raw: Range; functions: number[] }[];
  bodies: Range[];
  dataCount: number | undefined;
  data: Range | undefined;
  dataSegments: number;
}

export interface Range {
  start: number;
  end: number;
}

export interface FunctionType {
  parameters: number[];
  results: number[];
}

export interface ParsedImport {
  module: string;
  name: string;
  kind: number;
  /** of a function */
  type: number;
}

export interface Limits {
  flags: number;
  minimum: number;
  maximum: number | undefined;
}

export const external = { function: 0, table: 1, memory: 2, global: 3, tag: 4 } as const;

const MAXIMUM_ITEMS = 1_000_000;

/** Bytes -> sections. Expects a module that V8 has found valid; checks all the same that it stays within bounds. */
export function parseModule(bytes: Uint8Array): ParsedModule {
  const parsed: ParsedModule = {
    bytes,
    types: [],
    imports: [],
    importedFunctions: [],
    functions: [],
    tables: [],
    memories: [],
    globals: [],
    exports: [],
    start: undefined,
    elements: [],
    bodies: [],
    dataCount: undefined,
    data: undefined,
    dataSegments: 0,
  };
  const reader = new BinaryReader(bytes, 8);
  while (!reader.isDone) {
    const id = reader.u8();
    const size = reader.u32();
    const start = reader.at;
    reader.skip(size);
    readSection(parsed, id, new BinaryReader(bytes, start, reader.at));
  }
  if (parsed.bodies.length !== parsed.functions.length)
    throw new MalformedModule(
      `${parsed.functions.length} functions are declared, ${parsed.bodies.length} defined`,
    );
  return parsed;
}

function readSection(parsed: ParsedModule, id: number, reader: BinaryReader): void {
  switch (id) {
    case 0:
      return;
    case 1:
      each(reader, () => parsed.types.push(readFunctionType(reader)));
      return;
    case 2:
      each(reader, () => readImport(parsed, reader));
      return;
    case 3:
      each(reader, () => parsed.functions.push(reader.u32()));
      return;
    case 4:
      each(reader, () => readTable(parsed, reader));
      return;
    case 5:
      each(reader, () => parsed.memories.push(readLimits(reader)));
      return;
    case 6:
      each(reader, () => readGlobal(parsed, reader));
      return;
    case 7:
      each(reader, () =>
        parsed.exports.push({ name: reader.name(), kind: reader.u8(), index: reader.u32() }),
      );
      return;
    case 8:
      parsed.start = reader.u32();
      return;
    case 9:
      each(reader, () => readElement(parsed, reader));
      return;
    case 10:
      each(reader, () => {
        const size = reader.u32();
        const start = reader.at;
        reader.skip(size);
        parsed.bodies.push({ start, end: reader.at });
      });
      return;
    case 11:
      parsed.data = { start: reader.at, end: reader.end };
      parsed.dataSegments = reader.u32();
      return;
    case 12:
      parsed.dataCount = reader.u32();
      return;
    case 13:
      throw new UnsupportedInstruction(
        'exceptions',
        'Compile without exceptions (C++: -fno-exceptions; Rust: -C panic=abort).',
      );
    default:
      throw new MalformedModule(`unknown section ${id}`);
  }
}

function each(reader: BinaryReader, read: () => void): void {
  const count = reader.u32();
  if (count > MAXIMUM_ITEMS) throw new MalformedModule(`a section says that it has ${count} entries`);
  for (let i = 0; i < count; i++) read();
}

function readFunctionType(reader: BinaryReader): FunctionType {
  if (reader.u8() !== 0x60)
    throw new UnsupportedInstruction(
      'garbage-collected types',
      'Use a compiler that brings its own allocator (C, Rust, TinyGo, Zig, AssemblyScript).',
    );
  const list = (): number[] => {
    const types: number[] = [];
    each(reader, () => {
      const type = reader.u8();
      requireNumber(type);
      types.push(type);
    });
    return types;
  };
  return { parameters: list(), results: list() };
}

function readImport(parsed: ParsedModule, reader: BinaryReader): void {
  const found: ParsedImport = { module: reader.name(), name: reader.name(), kind: reader.u8(), type: 0 };
  parsed.imports.push(found);
  switch (found.kind) {
    case external.function:
      found.type = reader.u32();
      parsed.importedFunctions.push(found);
      return;
    case external.table:
      reader.u8();
      readLimits(reader);
      return;
    case external.memory:
      readLimits(reader);
      return;
    case external.global:
      reader.skip(2);
      return;
    default:
      reader.skip(1);
      reader.u32();
  }
}

function readLimits(reader: BinaryReader): Limits {
  const flags = reader.u8();
  if (flags > 3) throw new UnsupportedInstruction('64-bit memories', 'Compile for wasm32, not for wasm64.');
  return { flags, minimum: reader.u32(), maximum: (flags & 1) !== 0 ? reader.u32() : undefined };
}

function readTable(parsed: ParsedModule, reader: BinaryReader): void {
  const start = reader.at;
  const elementType = reader.u8();
  if (elementType !== 0x70)
    throw new UnsupportedInstruction(
      'tables of other things than functions',
      'Compile with -mno-reference-types.',
    );
  readLimits(reader);
  parsed.tables.push({ raw: { start, end: reader.at }, elementType });
}

function readGlobal(parsed: ParsedModule, reader: BinaryReader): void {
  const type = reader.u8();
  requireNumber(type);
  const isMutable = reader.u8() === 1;
  const start = reader.at;
  skipConstant(reader);
  parsed.globals.push({ type, isMutable, initializer: { start, end: reader.at } });
}

/** Passes over a constant expression; a function that it refers to is reported. */
function skipConstant(reader: BinaryReader, onFunction: (index: number) => void = () => {}): void {
  for (;;) {
    const code = reader.u8();
    if (code === op.end) return;
    if (code === op.i32Const || code === op.i64Const) reader.skipLeb();
    else if (code === op.f32Const) reader.skip(4);
    else if (code === op.f64Const) reader.skip(8);
    else if (code === op.globalGet) reader.u32();
    else if (code === op.refFunc) onFunction(reader.u32());
    else if (code === op.refNull) reader.skipLeb();
    else if (code === op.simd) {
      reader.u32();
      reader.skip(16);
    } else if (!isExtendedConstant(code))
      throw new MalformedModule(`instruction 0x${code.toString(16)} in a constant`);
  }
}

/** i32 and i64 add, sub, mul (the extended-const proposal) */
const isExtendedConstant = (code: number): boolean =>
  (code >= 0x6a && code <= 0x6c) || (code >= 0x7c && code <= 0x7e);

function readElement(parsed: ParsedModule, reader: BinaryReader): void {
  const start = reader.at;
  const functions: number[] = [];
  const flags = reader.u32();
  if (flags > 7) throw new MalformedModule(`element segment of kind ${flags}`);
  const isActive = (flags & 1) === 0;
  if (isActive && (flags & 2) !== 0) reader.u32();
  if (isActive) skipConstant(reader);
  if ((flags & 3) !== 0) reader.u8(); // element kind or reference type
  each(reader, () => {
    if ((flags & 4) !== 0) skipConstant(reader, (index) => functions.push(index));
    else functions.push(reader.u32());
  });
  parsed.elements.push({ raw: { start, end: reader.at }, functions });
}
