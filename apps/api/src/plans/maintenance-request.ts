import { RESTORE_MODES } from '@drvs/contracts';
import { z } from 'zod';
import { NodeWork } from '../operations/maintenance-work.js';

const NODES_MAX = 100;
/** Out of use at the same time: as many steps as an operation does side by side. */
const AT_ONCE_MAX = 16;
const FAILURE_MAX = 500;
const NodeReference = z.string().min(1).max(100);

export const MaintenanceRequest = z
  .strictObject({
    /** In the order in which they are maintained. */
    nodes: z.array(NodeReference).min(1).max(NODES_MAX),
    /** So many at a time: they are drained, then worked on side by side, then restored; then come the next. */
    atOnce: z.int().min(1).max(AT_ONCE_MAX).default(1),
    /** What is done to each node that is empty; by default somebody is waited for, a day at most. */
    work: NodeWork.default({ kind: 'wait', withinSeconds: 86_400 }),
    mode: z.enum(RESTORE_MODES).default('return'),
  })
  .refine(({ nodes }) => new Set(nodes).size === nodes.length, {
    path: ['nodes'],
    message: 'a node is named twice',
  });
export type MaintenanceRequest = z.infer<typeof MaintenanceRequest>;

export const ContinueRequest = z.strictObject({
  /** By name; without it all of whom it is waiting to be told. */
  nodes: z.array(NodeReference).min(1).max(NODES_MAX).optional(),
  /** Why the work failed: the nodes stay drained then, and no other group is begun. */
  failure: z.string().min(1).max(FAILURE_MAX).optional(),
});
export type ContinueRequest = z.infer<typeof ContinueRequest>;
