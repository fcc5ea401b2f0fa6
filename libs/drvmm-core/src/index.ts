export { crc32c } from './codec/crc32c.js';
export { DurableLog, type RecoveredLog, type StorageOperation } from './consensus/durable-log.js';
export type { LogEntry, ReplicaId } from './consensus/log-entry.js';
export { RecordReader } from './consensus/log-record.js';
export { Raft, type RaftOptions } from './consensus/raft.js';
export type { RaftMessage } from './consensus/raft-message.js';
export { DeviceBackEnd, type DeviceHost } from './devices/device-back-end.js';
export {
  DEV_ANNOUNCE,
  DEV_REPLY,
  DEV_WRITE,
  type DeviceReply,
  type DeviceRequest,
  putReply,
  putRequest,
  readReply,
  readRequest,
} from './devices/device-protocol.js';
export {
  DeviceAnnouncement,
  DeviceRegistry,
  type DeviceRegistryHost,
  DevicesHandover,
  FIRST_ATTACHED_DEVICE,
} from './devices/device-registry.js';
export { GroupOrder } from './groups/group-frame.js';
export { GroupMutex, type MutexEffect } from './groups/group-mutex.js';
export { GroupNode, type GroupNodeOptions } from './groups/group-node.js';
export { groupMemberId } from './groups/member-id.js';
export { DEFAULT_GROUP_TIMING, ProcessGroup } from './groups/process-group.js';
export { ViewTraffic, type ViewTrafficOptions } from './groups/view-traffic.js';
export { type CopyDone, type CopyElement, MAX_COPY_BYTES } from './ipc/copies.js';
export * from './ipc/endpoint.js';
export * from './ipc/errors.js';
export { IpcKernel, type IpcKernelOptions, TIMEOUT_FOREVER, TIMEOUT_NOWAIT } from './ipc/kernel.js';
export * from './ipc/message.js';
export * from './ipc/owner.js';
export type { IpcCounters } from './ipc/parts.js';
export type { IpcNetwork } from './ipc/places.js';
export * from './ipc/privileges.js';
export { ProcessStateInvalid } from './ipc/process-state.js';
export type { MemberUpdate } from './membership/membership-frame.js';
export { type Member, Swim } from './membership/swim.js';
export * from './migration/coordinator.js';
export { DecayingAverage } from './sensing/decaying-average.js';
export { type KnownLoad, LoadBoard, type NodeLoad } from './sensing/load-board.js';
export type { GroupParts } from './simulation/group-simulation.js';
export type { CreateSwim } from './simulation/membership-simulation.js';
export type { CreateProcessGroup } from './simulation/multicast-simulation.js';
export {
  FAULT_KINDS,
  type FaultKind,
  MAX_SIMULATED_NODES,
  NODES_PER_GROUP,
  type ProtocolSimulationReport,
  simulateProtocols,
} from './simulation/protocol-simulation.js';
export { SyncMachine } from './sync/sync-machine.js';
export { SyncNode, type SyncNodeOptions } from './sync/sync-node.js';
export { GateMode, type SyncResult, SyncStatus } from './sync/sync-operation.js';
export { SyncService, type SyncServiceEffect, type SyncServiceEvent } from './sync/sync-service.js';
export { SyncSession, type SyncSessionOptions } from './sync/sync-session.js';
export { containerName, createTransport, LEFT_DRVM } from './transport/tls-transport.js';
export type { Transport, TransportEvents, TransportOptions } from './transport/transport.js';
