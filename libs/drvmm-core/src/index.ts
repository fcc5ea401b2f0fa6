export * from './ipc/endpoint.js';
export * from './ipc/errors.js';
export {
  type CopyDone,
  type IpcCounters,
  IpcKernel,
  type IpcKernelOptions,
  type IpcNetwork,
  MAX_COPY_BYTES,
} from './ipc/kernel.js';
export * from './ipc/message.js';
export * from './ipc/owner.js';
export * from './ipc/privileges.js';
export { ProcessStateInvalid } from './ipc/process-state.js';
export type { Transport, TransportEvents, TransportOptions } from './transport/transport.js';
export { containerName, createTransport } from './transport/tls-transport.js';
export * from './migration/coordinator.js';
