import { z } from 'zod';

export const NODE_CHECKS = ['cpu', 'memory', 'disk', 'clock'] as const;

/** What one part of a node's burn-in check has found. */
export const NodeCheckItem = z.object({
  name: z.enum(NODE_CHECKS),
  passed: z.boolean(),
  /** For people: what was done and what came of it. */
  detail: z.string(),
  /** Measured; names carry the unit. */
  figures: z.record(z.string(), z.number()),
});
export type NodeCheckItem = z.infer<typeof NodeCheckItem>;

/** What an agent answers to `node.check`. */
export const NodeCheck = z.object({
  /** The node's own time when it was asked. */
  at: z.string(),
  items: z.array(NodeCheckItem),
  tookMs: z.number(),
});
export type NodeCheck = z.infer<typeof NodeCheck>;
