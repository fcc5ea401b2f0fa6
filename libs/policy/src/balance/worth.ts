import type { MigrationCost } from '../plan/migration-cost.js';
import type { PlannerPolicy } from '../planner-policy.js';

/**
 * The payback test: `relief` processes fewer wait, for as long as the load is expected to last, each of them a vCPU
 * second in a second; that must be several times what the move costs in vCPU seconds.
 */
export function isWorth(relief: number, cost: MigrationCost, { balance }: PlannerPolicy): boolean {
  return relief >= balance.gainMin && relief * balance.horizonSeconds >= balance.payback * cost.coreSeconds;
}
