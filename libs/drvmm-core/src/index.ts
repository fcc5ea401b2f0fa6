export * from './ipc/endpoint.js';
export * from './ipc/errors.js';
export * from './ipc/message.js';
export * from './ipc/owner.js';
export * from './ipc/privileges.js';
export type { Transport, TransportEvents, TransportOptions } from './transport/transport.js';
