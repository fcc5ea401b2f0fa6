import type { ClusterPlanStep, OperationKind } from '@drvs/contracts';

/**
 * The steps of each kind of operation, as a pure function of the DRVM's slices. Steps of one phase run side by side;
 * a phase begins when the one before has ended. The plan is computed again when an operation is taken up after a
 * crash; since only one change of a DRVM is under way at a time, it comes out the same.
 */
export type StepAction =
  | 'authority'
  | 'prepare'
  | 'sign'
  | 'start'
  | 'await-running'
  | 'stop'
  | 'settle-stopped'
  | 'delete'
  | 'release'
  | 'migrate'
  | 'cordon'
  | 'move'
  | 'conclude'
  | 'switch-off'
  | 'switch-on';

export interface PlannedSlice {
  sliceId: string;
  nodeId: string;
  nodeName: string;
  index: number;
}

export interface PlannedStep {
  position: number;
  phase: number;
  action: StepAction;
  /** What the user reads. */
  name: string;
  /** The slice it is about, where it is about one. */
  slice: PlannedSlice | null;
  /** What of a cluster's plan it carries out, where it does. */
  work: ClusterPlanStep | null;
}

type Phase = { action: StepAction; name: string; perNode: boolean };

const once = (action: StepAction, name: string): Phase => ({ action, name, perNode: false });
const onEachNode = (action: StepAction, name: string): Phase => ({ action, name, perNode: true });

const PHASES: Readonly<Record<Exclude<OperationKind, 'plan.apply'>, readonly Phase[]>> = {
  'drvm.create': [
    once('authority', 'make the authority of the DRVM'),
    onEachNode('prepare', 'prepare the container on'),
    once('sign', 'sign the certificates'),
    onEachNode('start', 'start the container on'),
    once('await-running', 'wait until all containers run'),
  ],
  'drvm.start': [
    onEachNode('prepare', 'prepare the container on'),
    once('sign', 'sign the certificates'),
    onEachNode('start', 'start the container on'),
    once('await-running', 'wait until all containers run'),
  ],
  'drvm.stop': [
    onEachNode('stop', 'stop the container on'),
    once('settle-stopped', 'note that it is stopped'),
  ],
  'drvm.delete': [
    onEachNode('delete', 'delete the container on'),
    once('release', 'give the resources back'),
  ],
  'process.migrate': [once('migrate', 'migrate the process')],
  'node.power-off': [once('switch-off', 'switch the node off')],
  'node.power-on': [once('switch-on', 'switch the node on and wait until it has joined')],
};

/** @param work the steps of the plan that a `plan.apply` carries out: one after another, the cluster valid between them */
export function planOperation(
  kind: OperationKind,
  slices: readonly PlannedSlice[],
  work: readonly ClusterPlanStep[] = [],
): PlannedStep[] {
  if (kind === 'plan.apply') return [...work.map(stepOfPlan), CONCLUSION(work.length)];
  const ordered = [...slices].sort((a, b) => a.index - b.index);
  const steps: Omit<PlannedStep, 'position'>[] = PHASES[kind].flatMap(
    ({ action, name, perNode }, phase): Omit<PlannedStep, 'position'>[] =>
      perNode
        ? ordered.map((slice) => ({ phase, action, name: `${name} ${slice.nodeName}`, slice, work: null }))
        : [{ phase, action, name, slice: null, work: null }],
  );
  return steps.map((step, position) => ({ ...step, position }));
}

function stepOfPlan(work: ClusterPlanStep, position: number): PlannedStep {
  const at = { position, phase: position, slice: null, work };
  if (work.action === 'cordon') return { ...at, action: 'cordon', name: `close ${work.node} to what is new` };
  const { drvm, pid, from, to } = work;
  return { ...at, action: 'move', name: `move process ${pid} of ${drvm} from ${from} to ${to}` };
}

const CONCLUSION = (position: number): PlannedStep => ({
  position,
  phase: position,
  action: 'conclude',
  name: 'sum up what was done',
  slice: null,
  work: null,
});

/** The steps grouped by phase, in order. */
export function phasesOf(steps: readonly PlannedStep[]): PlannedStep[][] {
  return [...Map.groupBy(steps, ({ phase }) => phase).entries()]
    .sort(([a], [b]) => a - b)
    .map(([, group]) => group);
}
