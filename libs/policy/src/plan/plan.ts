import type { ResourceAmounts } from '@drvs/contracts';
import type { RejectionRule, StepReason } from './reasons.js';

export type PlanKind =
  | 'balance'
  | 'consolidate'
  | 'drain'
  | 'restore'
  | 'reallocate'
  | 'power'
  | 'evacuate'
  | 'undo';

/**
 * What to do, in order; the cluster is valid before and after every single step. Ids are those of the snapshot; the
 * reason is for people, `why` says the same for programs.
 */
export interface Plan {
  id: string;
  kind: PlanKind;
  /** Id of the snapshot from which it was made: refuse to carry it out on another. */
  snapshot: string;
  steps: PlanStep[];
  gain: PlanGain;
  cost: PlanCost;
  rejected: Rejection[];
}

interface Explained {
  reason: string;
  why: { code: StepReason; data: Readonly<Record<string, string | number>> };
}

/** What a step takes: time is that of the step alone. */
interface Priced {
  bytes: number;
  /** Sum of the pauses of the processes that move. */
  pauseMs: number;
  seconds: number;
}

export type PlanStep = Explained &
  (
    | ({ action: 'migrate-process'; drvm: string; pid: number; from: string; to: string } & Priced)
    | ({
        /**
         * Amounts and processes of a DRVM's slice go to another node, where they are taken before they are given up
         * here. A slice from which nothing is left is gone.
         */
        action: 'move-slice';
        drvm: string;
        from: string;
        to: string;
        guaranteed: ResourceAmounts;
        ceiling: ResourceAmounts;
        held: ResourceAmounts;
        pids: number[];
        /** The DRVM has a slice there, which grows by this one. */
        merges: boolean;
      } & Priced)
    | ({
        /** The slice of a node that is lost is made anew; its processes start from their last saved state. */
        action: 'rebuild-slice';
        drvm: string;
        from: string;
        to: string;
        guaranteed: ResourceAmounts;
        ceiling: ResourceAmounts;
        held: ResourceAmounts;
        pids: number[];
        merges: boolean;
      } & Priced)
    | { action: 'resize-slice'; drvm: string; node: string; before: ResourceAmounts; after: ResourceAmounts }
    | { action: 'cordon'; node: string }
    | { action: 'uncordon'; node: string }
    | { action: 'power-off'; node: string; watts: number; seconds: number }
    | { action: 'power-on'; node: string; watts: number; seconds: number }
  );

/** Each figure after less each figure before, unless it says otherwise. */
export interface PlanGain {
  /** Processes waiting for a CPU, over all nodes and slices (see `strainOf`), before and as predicted after. */
  strainBefore: number;
  strainAfter: number;
  /** Drawn by the nodes that are on, at their present load. */
  wattsBefore: number;
  wattsAfter: number;
  nodesOnBefore: number;
  nodesOnAfter: number;
  /** CPU that slices want, within their ceilings, and do not hold. */
  unmetCpuMilliBefore: number;
  unmetCpuMilliAfter: number;
  summary: string;
}

export interface PlanCost {
  moves: number;
  bytes: number;
  pauseMs: number;
  /** With one step after another; steps that touch different nodes may run beside each other. */
  seconds: number;
  summary: string;
}

export interface Rejection {
  /** What was not done: a node, a slice (`drvm@node`), a process (`drvm/pid`). */
  what: string;
  rule: RejectionRule;
  reason: string;
  /** `never`: no change of load makes it possible, only another cluster or another request does. */
  when: 'not-now' | 'never';
  data: Readonly<Record<string, string | number>>;
}
