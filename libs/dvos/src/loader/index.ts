/**
 * The loader: makes of any WASI program a module whose processes are portable images.
 */
export {
  DRVS_MODULE,
  FUEL,
  IMPORT_MODULES,
  KNOWN_IMPORTS,
  knownImport,
  MEMORY_GROW,
  SAFEPOINT,
  STACK_MEMORY,
  type ImportKind,
  type ImportModule,
  type KnownImport,
  type ValueType,
} from './imports.js';
export { LOADER_VERSION, META_SECTION, type ModuleMeta, readMeta, STACK_HEADER_BYTES } from './meta.js';
export { type Instrumented, instrument } from './instrument.js';
export { heedBranchHints } from './engine.js';
