import { DrvsError } from '@drvs/contracts';
import type { ImportKind, ImportModule, ValueType } from './imports.js';

/**
 * Names the transformation that the loader makes: part of every cache key, and checked when an image is restored,
 * because an unwound stack fits only the module whose code wrote it. Raise it with each change of the output.
 */
export const LOADER_VERSION = 'drvs-loader-3';

/** The custom section of an instrumented module that holds its `ModuleMeta` as JSON. */
export const META_SECTION = 'drvs.meta';

/** What the kernel must know of an instrumented module to make, freeze, move and restore its processes. */
export interface ModuleMeta {
  loaderVersion: string;
  memory: { initialPages: number /** 64 KiB each; null: no maximum declared */; maximumPages: number | null };
  fuelType: 'i32';
  /** Every mutable global, in index order; `drvs.fuel` is not among them. */
  globals: { export: string; type: ValueType }[];
  /** `mutable`: the program changes it as it runs, so its entries are part of the image. */
  tables: { export: string; mutable: boolean }[];
  imports: { module: ImportModule; name: string; kind: ImportKind }[];
  /** The start function, if any, is called at the head of `_start`; instantiation never runs guest code. */
  hasStartSection: boolean;
  /** Bytes that a slot of `drvs.stack_memory` should have, its 8-byte header included. */
  stackBytes: number;
}

/** Bytes of the asyncify header at the start of a stack slot: i32 position, i32 end (Binaryen `Asyncify.cpp`). */
export const STACK_HEADER_BYTES = 8;

/**
 * Reads the `drvs.meta` section of an instrumented module. Scans section headers only, compiles nothing.
 * @throws DrvsError NotWebAssembly, or UnsupportedModule when the loader (or another version of it) did not make it.
 */
export function readMeta(module: Uint8Array): ModuleMeta {
  const text = findMetaSection(module);
  if (text === undefined)
    throw new DrvsError(
      'UnsupportedModule',
      'The module has not been instrumented: it has no drvs.meta section',
      {
        hint: 'Pass the program through the loader first.',
      },
    );
  const meta = JSON.parse(text) as ModuleMeta;
  if (meta.loaderVersion !== LOADER_VERSION)
    throw new DrvsError(
      'UnsupportedModule',
      `The module was instrumented by ${meta.loaderVersion}, this is ${LOADER_VERSION}`,
      { hint: 'Instrument the program again.' },
    );
  return meta;
}

function findMetaSection(module: Uint8Array): string | undefined {
  const corrupt = () =>
    new DrvsError('NotWebAssembly', 'The instrumented module is damaged: a section is cut short');
  if (module.length < 8 || module[0] !== 0 || module[1] !== 0x61 || module[2] !== 0x73 || module[3] !== 0x6d)
    throw new DrvsError(
      'NotWebAssembly',
      'This is not a WebAssembly module: it does not begin with "\\0asm"',
    );
  let at = 8;
  const u32 = (): number => {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = module[at++];
      if (byte === undefined) throw corrupt();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw corrupt();
  };
  const decoder = new TextDecoder();
  while (at < module.length) {
    const id = module[at++];
    const size = u32();
    const end = at + size;
    if (end > module.length) throw corrupt();
    if (id === 0) {
      const length = u32();
      if (at + length > end) throw corrupt();
      if (decoder.decode(module.subarray(at, at + length)) === META_SECTION)
        return decoder.decode(module.subarray(at + length, end));
    }
    at = end;
  }
  return undefined;
}
