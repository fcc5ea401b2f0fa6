import { RESOURCE_CLASSES } from '@drvs/contracts';
import { z } from 'zod';

const MAX_AMOUNT = 1_000_000_000;
const MAX_RATIO = 64;
export const MAX_TRAITS = 64;
export const MAX_TAINTS = 16;

const ClassChange = z
  .strictObject({
    reserved: z.int().min(0).max(MAX_AMOUNT).optional(),
    ratio: z.number().gt(0).max(MAX_RATIO).optional(),
    step: z.int().min(1).max(MAX_AMOUNT).optional(),
  })
  .refine((change) => Object.keys(change).length > 0, 'nothing is changed');
/** In each class's own unit; what is left out stays. */
export const InventoryChange = z
  .strictObject(
    Object.fromEntries(RESOURCE_CLASSES.map((name) => [name, ClassChange.optional()])) as Record<
      (typeof RESOURCE_CLASSES)[number],
      z.ZodOptional<typeof ClassChange>
    >,
  )
  .refine((change) => Object.values(change).some((each) => each !== undefined), 'no class is named');
export type InventoryChange = z.infer<typeof InventoryChange>;

export const Trait = z
  .string()
  .regex(
    /^[a-zA-Z0-9]([a-zA-Z0-9._:/-]{0,61}[a-zA-Z0-9])?(=[a-zA-Z0-9]([a-zA-Z0-9._:/-]{0,61}[a-zA-Z0-9])?)?$/,
    'a trait is a word such as ssd, or key=value such as rack=r1',
  );
export const Taint = z
  .string()
  .regex(
    /^[a-zA-Z0-9]([a-zA-Z0-9._/-]{0,61}[a-zA-Z0-9])?(=[a-zA-Z0-9._/-]{0,63})?:NoSchedule$/,
    'a taint is key=value:NoSchedule, or key:NoSchedule',
  );
/** `key`, `key=value` or `*`. */
export const Toleration = z
  .string()
  .regex(/^(\*|[a-zA-Z0-9]([a-zA-Z0-9._/-]{0,61}[a-zA-Z0-9])?(=[a-zA-Z0-9._/-]{0,63})?)$/);

export const TraitChange = z.strictObject({
  add: z.array(Trait).max(MAX_TRAITS).default([]),
  remove: z.array(z.string().max(130)).max(MAX_TRAITS).default([]),
});
export const TaintChange = z.strictObject({
  add: z.array(Taint).max(MAX_TAINTS).default([]),
  /** Whole taints, or their keys. */
  remove: z.array(z.string().max(140)).max(MAX_TAINTS).default([]),
});

export const DeviceQuery = z.object({
  node: z.string().max(100).optional(),
  drvm: z.string().max(200).optional(),
  type: z.string().max(40).optional(),
});
/** How many of it are held back: as many as there are, which is one, takes it out of service. */
export const DeviceChange = z.strictObject({ reserved: z.int().min(0).max(1) });
