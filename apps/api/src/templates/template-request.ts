import { z } from 'zod';
import { NewDrvm } from '../drvms/drvm-request.js';
import { Name } from '../tenants/tenants.service.js';

/** Lines of one import at most: a course, not a campus. */
const IMPORT_ROWS_MOST = 500;

/** What a creation takes, each of it optional: what is not said here is said when the template is used. */
const Part = NewDrvm.omit({ name: true, tenant: true, dryRun: true, candidate: true });
/** Parsed only to be checked: its defaults are not to be kept, the creation has its own. */
export const TemplateBody = Part.partial();

export const NewTemplate = z.strictObject({
  name: Name,
  /** Without it: the actor's own department; for a supra-administrator, all departments. */
  tenant: z.string().max(100).optional(),
  description: z.string().max(500).default(''),
  body: z.record(z.string(), z.unknown()),
});

/** One DRVM: its name, and what is other than in the template. */
export const TemplateUse = TemplateBody.extend({
  name: Name,
  tenant: z.string().max(100).optional(),
  dryRun: z.boolean().optional(),
});

export const Import = z.strictObject({
  rows: z.array(z.record(z.string(), z.unknown())).min(1).max(IMPORT_ROWS_MOST),
  /** Nothing is created: each line is planned on what the lines before it leave. */
  dryRun: z.boolean().default(false),
});
export type Import = z.infer<typeof Import>;
