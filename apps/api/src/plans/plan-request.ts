import { RESTORE_MODES } from '@drvs/contracts';
import { z } from 'zod';

/** By name or id. */
const Reference = z.string().min(1).max(100);

export const PlanRequest = z.discriminatedUnion('kind', [
  /** Load goes from where it waits to where it does not: processes within their DRVM, slices between nodes. */
  z.strictObject({ kind: z.literal('balance') }),
  /** Nodes are emptied and switched off. */
  z.strictObject({ kind: z.literal('consolidate') }),
  /** What is idle is lent to who wants more. */
  z.strictObject({ kind: z.literal('reallocate') }),
  /** Nodes are switched on before they are missed. */
  z.strictObject({ kind: z.literal('power') }),
  /** A node is emptied; with `remove` it is removed for good then. */
  z.strictObject({ kind: z.literal('drain'), node: Reference, remove: z.boolean().default(false) }),
  z.strictObject({
    kind: z.literal('restore'),
    node: Reference,
    mode: z.enum(RESTORE_MODES).default('return'),
  }),
  /** What was on a node that is lost, and fenced, is made anew elsewhere. */
  z.strictObject({ kind: z.literal('evacuate'), node: Reference }),
]);
export type PlanRequest = z.infer<typeof PlanRequest>;
