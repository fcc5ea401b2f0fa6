import { RESTORE_MODES } from '@drvs/contracts';
import { z } from 'zod';

/** What is done to each node once it is empty. */
export const NodeWork = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('none') }),
  z.strictObject({
    kind: z.literal('wait'),
    /** From the time at which the node is empty until somebody has said that the work is done. */
    withinSeconds: z
      .int()
      .min(1)
      .max(7 * 86_400)
      .default(86_400),
  }),
  z.strictObject({ kind: z.literal('power-cycle') }),
]);

/** The parameters of a `node.maintain`, as they were accepted. */
export const MaintenanceWork = z.object({
  nodes: z.array(z.object({ id: z.string(), name: z.string() })).min(1),
  /** Nodes that are out of use at the same time, at most. */
  atOnce: z.int().min(1),
  work: NodeWork,
  mode: z.enum(RESTORE_MODES),
  /** In whose name the nodes are drained and restored. */
  by: z.object({ userId: z.string().nullable(), tokenId: z.string().nullable(), name: z.string() }),
});
export type MaintenanceWork = z.infer<typeof MaintenanceWork>;
export type MaintainedNode = MaintenanceWork['nodes'][number];

/** What a person told of the work on a node. */
export const WorkAnswer = z.object({ by: z.string(), at: z.string(), failure: z.string().optional() });
export const WorkAnswers = z.record(z.string(), WorkAnswer);

/** The maintenance among an operation's parameters; null where it is none. */
export function maintenanceOf(params: unknown): MaintenanceWork | null {
  const found = z.object({ maintenance: MaintenanceWork }).safeParse(params);
  return found.success ? found.data.maintenance : null;
}
