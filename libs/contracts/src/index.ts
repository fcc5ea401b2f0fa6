export * from './agent-channel.js';
export * from './container-control.js';
export * from './errors.js';
export * from './jobs.js';
export * from './resources.js';
export * from './rpc.js';
export * from './views.js';
