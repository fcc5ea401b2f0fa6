import { z } from 'zod';
import { AgentMethods } from './agent-channel.js';
import { ContainerMethods, ContainerSpec } from './container-control.js';

/**
 * What BullMQ carries. Two kinds of queues: `operations` (one job an operation; its worker walks the steps) and one
 * queue per node (`agent.<nodeId>`), consumed by the API process that holds that agent's channel. Jobs carry ids and
 * small parameters only; what is large or secret is read from the database when the job runs.
 */
export const OPERATIONS_QUEUE = 'operations';
export const agentQueue = (nodeId: string): string => `agent.${nodeId}`;

export const OPERATION_KINDS = [
  'drvm.create',
  'drvm.start',
  'drvm.stop',
  'drvm.delete',
  'drvm.resize',
  'drvm.reconfigure',
  'process.migrate',
  'plan.apply',
  'node.power-off',
  'node.power-on',
  'node.maintain',
] as const;
export type OperationKind = (typeof OPERATION_KINDS)[number];

export const OPERATION_STATES = [
  'queued',
  'running',
  'succeeded',
  'failed',
  'cancelled',
  'compensated',
] as const;
export type OperationState = (typeof OPERATION_STATES)[number];

export const OperationJob = z.object({ operationId: z.string() });

/** Jobs of a node's queue, by name. */
export const AgentJobs = {
  'drvm.prepare': z.object({ operationId: z.string(), drvmId: z.string(), index: z.int() }),
  'drvm.start': z.object({ operationId: z.string(), spec: ContainerSpec }),
  'drvm.update': z.object({ operationId: z.string(), spec: ContainerSpec }),
  'drvm.stop': z.object({ operationId: z.string(), drvmId: z.string(), graceMs: z.number() }),
  'drvm.delete': z.object({ operationId: z.string(), drvmId: z.string() }),
  /** A call to a container that an operation needs, where it may be another process that holds the node's channel. */
  'container.call': z.object({
    operationId: z.string(),
    drvmId: z.string(),
    method: z.enum(Object.keys(ContainerMethods) as [keyof typeof ContainerMethods]),
    params: z.unknown(),
  }),
  'process.migrate': z.object({
    operationId: z.string(),
    drvmId: z.string(),
    pid: z.int(),
    to: z.string(),
    /** The same key twice moves once; without it the operation's id is the key. */
    requestKey: z.string().max(200).optional(),
  }),
  'node.shutdown': z.object({ operationId: z.string() }),
  'node.witness': AgentMethods['node.witness'].params,
} as const;
export type AgentJob = keyof typeof AgentJobs;
