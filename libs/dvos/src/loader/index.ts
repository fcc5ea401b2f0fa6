/**
 * The loader: makes of any WASI program a module whose processes are portable images.
 */

export { heedBranchHints } from './engine.js';
export {
  DRVS_MODULE,
  FUEL,
  IMPORT_MODULES,
  type ImportKind,
  type ImportModule,
  KNOWN_IMPORTS,
  type KnownImport,
  knownImport,
  MEMORY_GROW,
  SAFEPOINT,
  STACK_MEMORY,
  type ValueType,
} from './imports.js';
export { type Instrumented, instrument } from './instrument.js';
export { LOADER_VERSION, META_SECTION, type ModuleMeta, readMeta, STACK_HEADER_BYTES } from './meta.js';
