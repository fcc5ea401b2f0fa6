/**
 * DVOS `mol`: a multi-server operating system whose processes are spread over the nodes of a DRVM.
 * `MolContainer` is one of its containers; everything else here is what tools and tests need of it.
 */
export { type ContainerStatus, MolContainer, type MolContainerOptions } from './container.js';
export { SIGNALS, type Signal, signalByNumber, signalNamed } from './kernel/signals.js';
export { LOADER_VERSION, type ModuleMeta, readMeta } from './loader/meta.js';
export { type Instrument, PROGRAM_BYTES_MOST } from './programs.js';
