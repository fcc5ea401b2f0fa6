import type { OperationKind } from '@drvs/contracts';

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
  | 'migrate';

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
}

type Phase = { action: StepAction; name: string; perNode: boolean };

const once = (action: StepAction, name: string): Phase => ({ action, name, perNode: false });
const onEachNode = (action: StepAction, name: string): Phase => ({ action, name, perNode: true });

const PHASES: Readonly<Record<OperationKind, readonly Phase[]>> = {
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
};

export function planOperation(kind: OperationKind, slices: readonly PlannedSlice[]): PlannedStep[] {
  const ordered = [...slices].sort((a, b) => a.index - b.index);
  const steps: Omit<PlannedStep, 'position'>[] = PHASES[kind].flatMap(
    ({ action, name, perNode }, phase): Omit<PlannedStep, 'position'>[] =>
      perNode
        ? ordered.map((slice) => ({ phase, action, name: `${name} ${slice.nodeName}`, slice }))
        : [{ phase, action, name, slice: null }],
  );
  return steps.map((step, position) => ({ ...step, position }));
}

/** The steps grouped by phase, in order. */
export function phasesOf(steps: readonly PlannedStep[]): PlannedStep[][] {
  return [...Map.groupBy(steps, ({ phase }) => phase).entries()]
    .sort(([a], [b]) => a - b)
    .map(([, group]) => group);
}
