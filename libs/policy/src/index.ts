export { planBalance } from './balance/balance.js';
export { type ConsolidateInput, planConsolidation } from './consolidate/consolidate.js';
export { planDrain } from './drain/drain.js';
export { planProcessDrain } from './drain/drain-processes.js';
export { planEvacuation } from './evacuate/evacuate.js';
export type { CandidateScores, CandidateSet } from './placement/candidate-search.js';
export { listCandidates, MAX_CANDIDATES } from './placement/candidates.js';
export { brokenTerms, isEligible, isTolerated, reject as whyNotEligible } from './placement/eligibility.js';
export { placeDrvm } from './placement/placement.js';
export * from './placement/placement-request.js';
export type { NearestRequest, PlacementRefusal } from './placement/refusal.js';
export { ClusterState } from './plan/cluster-state.js';
export type { PlanInput } from './plan/complete-plan.js';
export { type PhaseLimits, phasesOfSteps } from './plan/phases.js';
export type { Plan, PlanKind, PlanStep, Rejection } from './plan/plan.js';
export { adviceFor, type RejectionRule as PlanRule, type StepReason } from './plan/reasons.js';
export { DEFAULT_POLICY, type PlannerPolicy, plannerPolicy } from './planner-policy.js';
export { planWake, type WakeInput } from './power/wake.js';
export { type DemandHour, type ExpectedHour, expectedDemand, mostWithin } from './power/week-forecast.js';
export * from './reallocate/lending.js';
export { planReallocation } from './reallocate/reallocate.js';
export * from './resize/resize.js';
export type { Departure } from './restore/bring-back.js';
export { planRestore, type RestoreMode } from './restore/restore.js';
export {
  type DominantShare,
  dominantShare,
  fairOrder,
  type ShareHolder,
  type WaitingDemand,
} from './shares/fair-order.js';
export type { ContenderName } from './simulation/contenders.js';
export { type DayOptions, type DayReport, simulateDay } from './simulation/day.js';
export type { TraceFormatName } from './simulation/trace/trace-format.js';
export {
  TRACE_FORMATS,
  type Trace,
  type TraceOptions,
  TraceReader,
} from './simulation/trace/trace-reader.js';
export { bareDrvm, bareNode } from './snapshot/bare-records.js';
export type {
  ClusterSnapshot,
  DrvmRecord,
  NodePowerState,
  NodeRecord,
  PowerModel,
  ProcessRecord,
  SliceRecord,
} from './snapshot/cluster-snapshot.js';
export { Ledger } from './snapshot/ledger.js';
export { planUndo } from './undo/undo.js';
