import { z } from 'zod';

/**
 * How the API asks the supervisor of a stack on one machine to stop and start the agents that stand for nodes there:
 * one JSON object a line over a Unix socket that only its owner may open, one line back, then the connection ends.
 */
export const LocalPowerRequest = z.object({
  do: z.enum(['list', 'status', 'on', 'off']),
  /** The node; not for `list`. */
  node: z.string().max(63).optional(),
});
export type LocalPowerRequest = z.infer<typeof LocalPowerRequest>;

export const LocalPowerAnswer = z.union([
  z.object({ nodes: z.array(z.object({ name: z.string(), power: z.enum(['on', 'off']) })) }),
  /** `off` is said only when no process of the agent and none of its containers is left. */
  z.object({ power: z.enum(['on', 'off']), detail: z.string() }),
  z.object({ error: z.string() }),
]);
export type LocalPowerAnswer = z.infer<typeof LocalPowerAnswer>;

export const LOCAL_POWER_LINE_MAX_BYTES = 64 * 1024;
