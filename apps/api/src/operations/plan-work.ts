import type { ClusterPlanStep } from '@drvs/contracts';
import { z } from 'zod';
import { ClusterPlanAnswer, ClusterPlanStepAnswer } from '../openapi/answers.js';

/** The parameters of a `plan.apply`: the plan as it was accepted, so that it comes out the same after a crash. */
export const PlanWork = z.object({
  plan: z.string(),
  kind: ClusterPlanAnswer.shape.kind,
  node: z.string().nullable(),
  nodeId: z.string().nullable().default(null),
  work: z.array(ClusterPlanStepAnswer),
  rejected: ClusterPlanAnswer.shape.rejected,
  origin: ClusterPlanAnswer.shape.origin.default('request'),
  /** The step of another operation that wanted it, where one did. */
  cause: z.string().optional(),
});
export type PlanWork = z.infer<typeof PlanWork>;

/** The steps of a plan among an operation's parameters; none where it carries no plan out. */
export function workOf(params: unknown): ClusterPlanStep[] {
  const found = z.object({ work: PlanWork.shape.work }).safeParse(params);
  return found.success ? found.data.work : [];
}
