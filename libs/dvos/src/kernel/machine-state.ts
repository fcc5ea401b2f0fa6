import { DrvsError } from '@drvs/contracts';
import type { ModuleMeta } from '../loader/meta.js';

/**
 * What the machine of a suspended guest holds: globals, tables and linear memory, in a form that another machine of
 * the same module can take on, here or on another node.
 *
 * Memory travels as *parts*: runs of blocks of BLOCK_BYTES that are not all zero, `u32 first block | u32 blocks |
 * bytes`, one after another, little-endian. A fresh memory is zero, so the rest needs no sending.
 */

export const BLOCK_BYTES = 4096;
/**
 * A part ends when it has become this large: small enough that packing, sending, taking on and hashing go on at the same
 * time on the two nodes, large enough that a call each costs nothing to speak of.
 */
export const PART_BYTES = 256 * 1024;
const RUN_HEADER_BYTES = 8;
const ZERO_BLOCK = Buffer.alloc(BLOCK_BYTES);

/** Globals by `meta.globals`' order: integers in decimal, floats as the hexadecimal of their bits. */
export type GlobalValues = string[];
/**
 * A table's entries: null, or `t:i`, the function that table t of a fresh machine holds at i, or `=name`, an exported
 * function. Null in place of the table: it is immutable and not part of the state.
 */
export type TableValues = ((string | null)[] | null)[];

const bits = new DataView(new ArrayBuffer(8));

export function captureGlobals(exports: WebAssembly.Exports, meta: ModuleMeta): GlobalValues {
  return meta.globals.map(({ export: name, type }) => {
    const { value } = exports[name] as unknown as WebAssembly.Global;
    switch (type) {
      case 'f32':
        bits.setFloat32(0, value as number);
        return bits.getUint32(0).toString(16);
      case 'f64':
        bits.setFloat64(0, value as number);
        return bits.getBigUint64(0).toString(16);
      default:
        return String(value);
    }
  });
}

export function restoreGlobals(exports: WebAssembly.Exports, meta: ModuleMeta, values: GlobalValues): void {
  if (values.length !== meta.globals.length) throw damaged(`${values.length} globals`);
  meta.globals.forEach(({ export: name, type }, index) => {
    const global = exports[name] as unknown as WebAssembly.Global;
    const text = values[index];
    switch (type) {
      case 'i32':
        global.value = Number(text);
        return;
      case 'i64':
        global.value = BigInt(text);
        return;
      case 'f32':
        bits.setUint32(0, Number.parseInt(text, 16));
        global.value = bits.getFloat32(0);
        return;
      case 'f64':
        bits.setBigUint64(0, BigInt(`0x${text}`));
        global.value = bits.getFloat64(0);
    }
  });
}

/** Names of the functions that a fresh machine's tables hold; null when the module changes no table. */
export type FunctionNames = ReadonlyMap<unknown, string> | null;

export function nameFunctions(exports: WebAssembly.Exports, meta: ModuleMeta): FunctionNames {
  if (!meta.tables.some(({ mutable }) => mutable)) return null;
  const names = new Map<unknown, string>();
  for (const [name, value] of Object.entries(exports)) {
    if (typeof value === 'function') names.set(value, `=${name}`);
  }
  meta.tables.forEach(({ export: name }, tableIndex) => {
    const table = exports[name] as WebAssembly.Table;
    for (let index = 0; index < table.length; index++) {
      const entry: unknown = table.get(index);
      if (entry !== null && !names.has(entry)) names.set(entry, `${tableIndex}:${index}`);
    }
  });
  return names;
}

export function captureTables(
  exports: WebAssembly.Exports,
  meta: ModuleMeta,
  names: FunctionNames,
): TableValues {
  return meta.tables.map(({ export: exportName, mutable }) => {
    if (!mutable) return null;
    const table = exports[exportName] as WebAssembly.Table;
    const entries: (string | null)[] = [];
    for (let index = 0; index < table.length; index++) {
      const entry: unknown = table.get(index);
      const name = entry === null ? null : names?.get(entry);
      if (name === undefined) {
        throw new DrvsError(
          'MigrationFailed',
          `table entry ${index} holds a function that has no name to move by`,
          {
            hint: 'The program puts functions into a table that are in none at its start; it must run to its end here.',
          },
        );
      }
      entries.push(name);
    }
    return entries;
  });
}

export function restoreTables(
  exports: WebAssembly.Exports,
  meta: ModuleMeta,
  values: TableValues,
  names: FunctionNames,
): void {
  if (names === null) return;
  if (values.length !== meta.tables.length) throw damaged(`${values.length} tables`);
  const functions = new Map([...names].map(([value, name]) => [name, value]));
  meta.tables.forEach(({ export: exportName }, tableIndex) => {
    const entries = values[tableIndex];
    if (entries === null) return;
    const table = exports[exportName] as WebAssembly.Table;
    if (entries.length > table.length) table.grow(entries.length - table.length);
    entries.forEach((name, index) => {
      const value = name === null ? null : functions.get(name);
      if (value === undefined) throw damaged(`a table entry named ${name}`);
      table.set(index, value);
    });
  });
}

/**
 * The parts of a memory that hold `blocks` (by default those that are not all zero), one at a time: each is one copy into
 * the same buffer, and valid until the next one is asked for. `memory` begins at block `firstBlock` of the whole.
 */
export function* memoryParts(
  memory: Uint8Array,
  blocks: Iterable<number> = nonZeroBlocks(memory),
  firstBlock = 0,
): Generator<Uint8Array> {
  const part = Buffer.allocUnsafeSlow(Math.min(PART_BYTES, memory.length) + BLOCK_BYTES + RUN_HEADER_BYTES);
  let filled = 0;
  /** Where the header of the run being written is, and the block that would continue it. */
  let run = -1;
  let next = -1;
  for (const block of blocks) {
    if (block !== next) {
      run = filled;
      part.writeUInt32LE(firstBlock + block, run);
      part.writeUInt32LE(0, run + 4);
      filled += RUN_HEADER_BYTES;
    }
    part.writeUInt32LE(part.readUInt32LE(run + 4) + 1, run + 4);
    part.set(memory.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES), filled);
    filled += BLOCK_BYTES;
    next = block + 1;
    if (filled + RUN_HEADER_BYTES + BLOCK_BYTES > part.length) {
      yield part.subarray(0, filled);
      filled = 0;
      next = -1;
    }
  }
  if (filled > 0) yield part.subarray(0, filled);
}

/** Numbers of the blocks that differ from an earlier copy of the memory; beyond its end, from zero. */
export function* changedBlocks(memory: Uint8Array, shadow: Uint8Array): Generator<number> {
  const now = Buffer.from(memory.buffer, memory.byteOffset, memory.length);
  for (let at = 0; at < shadow.length; at += BLOCK_BYTES) {
    if (now.compare(shadow, at, at + BLOCK_BYTES, at, at + BLOCK_BYTES) !== 0) yield at / BLOCK_BYTES;
  }
  const first = shadow.length / BLOCK_BYTES;
  for (const block of nonZeroBlocks(memory.subarray(shadow.length))) yield first + block;
}

/** Numbers of the blocks that are not all zero. */
export function* nonZeroBlocks(memory: Uint8Array): Generator<number> {
  const blocks = memory.length / BLOCK_BYTES;
  const bytes = Buffer.from(memory.buffer, memory.byteOffset, memory.length);
  for (let block = 0; block < blocks; block++) {
    const at = block * BLOCK_BYTES;
    // Most blocks of a working program differ from zero in their first bytes already: no call then.
    if (bytes[at] !== 0 || bytes.compare(ZERO_BLOCK, 0, BLOCK_BYTES, at, at + BLOCK_BYTES) !== 0) yield block;
  }
}

/** Writes a part into a memory. @throws DrvsError when it does not fit there: it is not a part of this memory. */
export function applyPart(memory: Uint8Array, part: Uint8Array): void {
  const view = new DataView(part.buffer, part.byteOffset, part.length);
  let at = 0;
  while (at < part.length) {
    if (at + RUN_HEADER_BYTES > part.length) throw damaged('a part cut short');
    const first = view.getUint32(at, true) * BLOCK_BYTES;
    const length = view.getUint32(at + 4, true) * BLOCK_BYTES;
    at += RUN_HEADER_BYTES;
    if (at + length > part.length || first + length > memory.length) throw damaged('a run beyond the memory');
    memory.set(part.subarray(at, at + length), first);
    at += length;
  }
}

export function damaged(what: string): DrvsError {
  return new DrvsError('MigrationFailed', `the process image is damaged: ${what}`, {
    hint: 'The process stays where it was. Try again; if it repeats, look at the network between the nodes.',
  });
}
