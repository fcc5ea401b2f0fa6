import { z } from 'zod';
import type { SliceTerms } from './container-spec.js';

const Amounts = z.object({
  cpuMilli: z.int(),
  memoryMiB: z.int(),
  diskGiB: z.int(),
  networkMbps: z.int(),
});
const Terms = z.object({
  guaranteed: Amounts,
  ceiling: Amounts,
  held: Amounts,
}) satisfies z.ZodType<SliceTerms>;
const at = { sliceId: z.string(), nodeId: z.string(), node: z.string() };

/** What is to become of one slice. What grows, and what comes, is in the ledger since the request was accepted. */
const ResizeChange = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('add'), ...at, after: Terms }),
  z.object({ kind: z.literal('resize'), ...at, before: Terms, after: Terms }),
  z.object({ kind: z.literal('remove'), ...at, before: Terms }),
]);
export type ResizeChange = z.infer<typeof ResizeChange>;

/** The changes among the parameters of an operation `drvm.resize` or `drvm.reconfigure`, in the order of its steps. */
export function changesOf(params: unknown): ResizeChange[] {
  const found = z.object({ changes: z.array(ResizeChange) }).safeParse(params);
  return found.success ? found.data.changes : [];
}
