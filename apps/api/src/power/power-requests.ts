import { POWER_DRIVERS } from '@drvs/contracts';
import { z } from 'zod';
import { PowerModelInput } from './power-model.js';

export const PowerChange = z.strictObject({
  driver: z.enum(POWER_DRIVERS).optional(),
  /** All of them: what is left out has its default. */
  settings: z.record(z.string(), z.unknown()).optional(),
  /** Kept sealed and never shown; null forgets it. It is forgotten too when another driver is set without one. */
  secret: z.record(z.string(), z.unknown()).nullable().optional(),
  /** Whether planners may switch it by themselves. */
  automatic: z.boolean().optional(),
  /** Null: as stated for a machine of its size. */
  model: PowerModelInput.nullable().optional(),
});
export type PowerChange = z.infer<typeof PowerChange>;

export const PowerSwitch = z.strictObject({
  power: z.enum(['on', 'off']),
  /**
   * Also a node on which DRVMs have something: they stop there. The name of the node, written again: so nobody does it
   * by a slip.
   */
  force: z.string().max(63).optional(),
  /** On: whether it takes new work again by itself. */
  open: z.boolean().optional(),
});
export type PowerSwitch = z.infer<typeof PowerSwitch>;
