import { BinaryReader, BinaryWriter } from './binary.js';
import { type BranchHints, writeBranchHints } from './branch-hints.js';
import { buildCallGraph } from './call-graph.js';
import { DRVS_MODULE, FUEL, MEMORY_GROW, SAFEPOINT } from './imports.js';
import { op } from './instructions.js';
import { external, type FunctionType, type ParsedModule, type Range } from './module.js';
import { type SafePointContext, writeBody } from './safe-points.js';

/** What was exported for the kernel. */
export interface Rewritten {
  bytes: Uint8Array;
  globals: { export: string; type: 'i32' | 'i64' | 'f32' | 'f64' }[];
}

const NUMBER_TYPES: Readonly<Record<number, 'i32' | 'i64' | 'f32' | 'f64'>> = {
  127: 'i32',
  126: 'i64',
  125: 'f32',
  124: 'f64',
};

/**
 * Writes the module anew: with `drvs.safepoint` and `drvs.memory_grow` imported, the fuel global added, everything
 * exported that an image needs, the start function folded into `_start`, and safe points in every function.
 * Custom sections (names, debugging) are left out, since function indices change.
 */
export function rewriteModule(module: ParsedModule, isImmediate: (index: number) => boolean): Rewritten {
  const imported = module.importedFunctions.length;
  const added = 2;
  const renumber = (index: number): number => (index < imported ? index : index + added);
  const types = new TypeTable(module.types);
  const safePointType = types.find([], []);
  const growType = types.find([0x7f], [0x7f]);
  const startExport = module.exports.find((e) => e.name === '_start' && e.kind === external.function)!;

  const graph = buildCallGraph(
    module,
    module.bodies.map((body) => codeStart(module, body)),
    module.start === undefined ? [startExport.index] : [startExport.index, module.start],
  );
  const context: SafePointContext = {
    module,
    graph,
    fuelGlobal: module.globals.length,
    safePointFunction: imported,
    memoryGrowFunction: imported + 1,
    renumber,
    isImmediate,
    resultType: (results) => types.find([], results),
    indirectDistances: new Map(),
    distances: new Int32Array(imported + module.functions.length).fill(-1),
    charges: new Int32Array(imported + module.functions.length).fill(-1),
  };
  const bodies = new Array<BinaryWriter>(module.functions.length);
  const hints: BranchHints = new Map();
  for (const index of graph.order) {
    const { body, unlikely } = writeBody(context, index);
    bodies[index - imported] = body;
    hints.set(renumber(index), unlikely);
  }

  const functionTypes = [...module.functions];
  let startFunction = renumber(startExport.index);
  if (module.start !== undefined) {
    const folded = new BinaryWriter().u8(0).u8(op.call).u32(renumber(module.start));
    folded.u8(op.call).u32(startFunction).u8(op.end);
    startFunction = imported + added + bodies.length;
    functionTypes.push(safePointType);
    bodies.push(folded);
  }

  const globals = module.globals.flatMap(({ isMutable, type }, index) =>
    isMutable ? [{ export: `drvs.g${index}`, type: NUMBER_TYPES[type]!, index }] : [],
  );
  const out = new BinaryWriter(module.bytes.length * 2);
  out.raw(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
  const section = (id: number, content: BinaryWriter): BinaryWriter => out.u8(id).sized(content);

  section(1, types.write());
  section(2, writeImports(module, safePointType, growType));
  section(
    3,
    writeList(functionTypes, (w, type) => w.u32(type)),
  );
  if (module.tables.length > 0)
    section(
      4,
      writeList(module.tables, (w, table) => w.raw(module.bytes, table.raw.start, table.raw.end)),
    );
  section(
    5,
    writeList(module.memories, (w, { minimum, maximum }) => {
      w.u8(maximum === undefined ? 0 : 1).u32(minimum);
      if (maximum !== undefined) w.u32(maximum);
    }),
  );
  section(6, writeGlobals(module));
  section(7, writeExports(module, startFunction, renumber, globals));
  if (module.elements.length > 0)
    section(
      9,
      writeList(module.elements, (w, segment) => writeElement(w, module, segment.raw, renumber)),
    );
  if (module.dataCount !== undefined) section(12, new BinaryWriter().u32(module.dataCount));
  writeBranchHints(out, hints);
  section(
    10,
    writeList(bodies, (w, body) => w.sized(body)),
  );
  if (module.data !== undefined)
    section(11, new BinaryWriter().raw(module.bytes, module.data.start, module.data.end));
  return { bytes: out.result(), globals: globals.map(({ export: name, type }) => ({ export: name, type })) };
}

function codeStart(module: ParsedModule, body: Range): number {
  const reader = new BinaryReader(module.bytes, body.start, body.end);
  for (let groups = reader.u32(); groups > 0; groups--) {
    reader.u32();
    reader.u8();
  }
  return reader.at;
}

class TypeTable {
  private readonly types: FunctionType[];

  constructor(types: readonly FunctionType[]) {
    this.types = [...types];
  }

  find(parameters: number[], results: number[]): number {
    const same = (a: number[], b: number[]) => a.length === b.length && a.every((type, i) => type === b[i]);
    const found = this.types.findIndex((t) => same(t.parameters, parameters) && same(t.results, results));
    return found >= 0 ? found : this.types.push({ parameters, results }) - 1;
  }

  write(): BinaryWriter {
    const list = (w: BinaryWriter, types: number[]) => {
      w.u32(types.length);
      for (const type of types) w.u8(type);
    };
    return writeList(this.types, (w, { parameters, results }) => {
      w.u8(0x60);
      list(w, parameters);
      list(w, results);
    });
  }
}

function writeList<T>(items: readonly T[], write: (writer: BinaryWriter, item: T) => void): BinaryWriter {
  const writer = new BinaryWriter(1024).u32(items.length);
  for (const item of items) write(writer, item);
  return writer;
}

function writeImports(module: ParsedModule, safePointType: number, growType: number): BinaryWriter {
  const functions = [
    ...module.importedFunctions,
    { module: DRVS_MODULE, name: SAFEPOINT, type: safePointType },
    { module: DRVS_MODULE, name: MEMORY_GROW, type: growType },
  ];
  return writeList(functions, (w, { module: from, name, type }) =>
    w.name(from).name(name).u8(external.function).u32(type),
  );
}

function writeGlobals(module: ParsedModule): BinaryWriter {
  const writer = new BinaryWriter(1024).u32(module.globals.length + 1);
  for (const { type, isMutable, initializer } of module.globals)
    writer
      .u8(type)
      .u8(isMutable ? 1 : 0)
      .raw(module.bytes, initializer.start, initializer.end);
  return writer.u8(0x7f).u8(1).u8(op.i32Const).s32(0).u8(op.end);
}

function writeExports(
  module: ParsedModule,
  startFunction: number,
  renumber: (index: number) => number,
  globals: readonly { export: string; index: number }[],
): BinaryWriter {
  const exports = module.exports.map(({ name, kind, index }) => ({
    name,
    kind,
    index: kind !== external.function ? index : name === '_start' ? startFunction : renumber(index),
  }));
  if (!exports.some(({ name }) => name === 'memory'))
    exports.push({ name: 'memory', kind: external.memory, index: 0 });
  for (const { export: name, index } of globals) exports.push({ name, kind: external.global, index });
  exports.push({ name: FUEL, kind: external.global, index: module.globals.length });
  return writeList(exports, (w, { name, kind, index }) => w.name(name).u8(kind).u32(index));
}

/** Copies an element segment with the function indices changed; the layout of the eight kinds is in §5.5.12. */
function writeElement(
  writer: BinaryWriter,
  module: ParsedModule,
  raw: Range,
  renumber: (index: number) => number,
): void {
  const reader = new BinaryReader(module.bytes, raw.start, raw.end);
  const flags = reader.u32();
  writer.u32(flags);
  const isActive = (flags & 1) === 0;
  if (isActive && (flags & 2) !== 0) writer.u32(reader.u32());
  if (isActive) copyConstant(reader, writer, renumber);
  if ((flags & 3) !== 0) writer.u8(reader.u8());
  const count = reader.u32();
  writer.u32(count);
  for (let i = 0; i < count; i++)
    if ((flags & 4) !== 0) copyConstant(reader, writer, renumber);
    else writer.u32(renumber(reader.u32()));
}

function copyConstant(reader: BinaryReader, writer: BinaryWriter, renumber: (index: number) => number): void {
  for (;;) {
    const start = reader.at;
    const code = reader.u8();
    if (code === op.refFunc) {
      writer.u8(code).u32(renumber(reader.u32()));
      continue;
    }
    if (code === op.i32Const || code === op.i64Const || code === op.refNull) reader.skipLeb();
    else if (code === op.globalGet) reader.u32();
    else if (code === op.f32Const) reader.skip(4);
    else if (code === op.f64Const) reader.skip(8);
    else if (code === op.simd) {
      reader.u32();
      reader.skip(16);
    }
    writer.raw(reader.bytes, start, reader.at);
    if (code === op.end) return;
  }
}
