import type { ClusterPlanStep, OperationKind } from '@drvs/contracts';
import type { ResizeChange } from '../reconfigure/resize-work.js';
import type { MaintainedNode, MaintenanceWork } from './maintenance-work.js';

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
  | 'resize'
  | 'settle-resized'
  | 'cordon'
  | 'move'
  | 'open'
  | 'change-slice'
  | 'move-slice'
  | 'switch'
  | 'remove-node'
  | 'conclude'
  | 'switch-off'
  | 'switch-on'
  | 'maintain-close'
  | 'maintain-drain'
  | 'maintain-work'
  | 'maintain-restore'
  | 'maintain-check'
  | 'maintain-conclude';

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
  /** The change of a slice that it carries out, where it does. */
  change?: ResizeChange;
  /** The nodes of a maintenance that it is about, where it is about some. */
  nodes?: readonly MaintainedNode[];
}

type Phase = { action: StepAction; name: string; perNode: boolean };

const once = (action: StepAction, name: string): Phase => ({ action, name, perNode: false });
const onEachNode = (action: StepAction, name: string): Phase => ({ action, name, perNode: true });

const PHASES: Readonly<
  Record<
    Exclude<OperationKind, 'plan.apply' | 'drvm.resize' | 'drvm.reconfigure' | 'node.maintain'>,
    readonly Phase[]
  >
> = {
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

/** @param work the steps of the plan that a `plan.apply` carries out, by phases, the cluster valid after each of them */
export function planOperation(
  kind: OperationKind,
  slices: readonly PlannedSlice[],
  work: readonly ClusterPlanStep[] = [],
  changes: readonly ResizeChange[] = [],
  maintenance: MaintenanceWork | null = null,
): PlannedStep[] {
  if (kind === 'node.maintain') return maintenance === null ? [] : maintenanceSteps(maintenance);
  if (kind === 'plan.apply') return planSteps(work);
  if (kind === 'drvm.resize' || kind === 'drvm.reconfigure') return resizeSteps(changes);
  const ordered = [...slices].sort((a, b) => a.index - b.index);
  const steps: Omit<PlannedStep, 'position'>[] = PHASES[kind].flatMap(
    ({ action, name, perNode }, phase): Omit<PlannedStep, 'position'>[] =>
      perNode
        ? ordered.map((slice) => ({ phase, action, name: `${name} ${slice.nodeName}`, slice, work: null }))
        : [{ phase, action, name, slice: null, work: null }],
  );
  return steps.map((step, position) => ({ ...step, position }));
}

/** A DRVM has one change of a slice under way at a time: one after another, and at last all is made final. */
function resizeSteps(changes: readonly ResizeChange[]): PlannedStep[] {
  const words = { add: 'bring it to', resize: 'change its slice on', remove: 'take it off' } as const;
  const last = { slice: null, work: null, position: changes.length, phase: changes.length };
  return [
    ...changes.map(
      (change, position): PlannedStep => ({
        position,
        phase: position,
        action: 'resize',
        name: `${words[change.kind]} ${change.node}`,
        slice: null,
        work: null,
        change,
      }),
    ),
    { ...last, action: 'settle-resized', name: 'free what is not needed any more' },
  ];
}

/**
 * Group after group of nodes: a group is closed whole, so that nothing moves from one of its nodes to another; drained
 * and restored one by one, because each of these plans counts on the rest of the cluster; and worked on side by side.
 */
export function maintenanceSteps({ nodes, atOnce, work }: MaintenanceWork): PlannedStep[] {
  const steps: PlannedStep[] = [];
  let phase = 0;
  const add = (action: StepAction, name: string, about: readonly MaintainedNode[]): void => {
    steps.push({ position: steps.length, phase, action, name, slice: null, work: null, nodes: about });
  };
  const oneByOne = (action: StepAction, verb: string, group: readonly MaintainedNode[]): void => {
    for (const node of group) {
      add(action, `${verb} ${node.name}`, [node]);
      phase++;
    }
  };
  const sideBySide = (
    action: StepAction,
    nameOf: (node: string) => string,
    group: readonly MaintainedNode[],
  ): void => {
    for (const node of group) add(action, nameOf(node.name), [node]);
    phase++;
  };
  for (let first = 0; first < nodes.length; first += atOnce) {
    const group = nodes.slice(first, first + atOnce);
    add('maintain-close', `close ${group.map(({ name }) => name).join(', ')} to what is new`, group);
    phase++;
    oneByOne('maintain-drain', 'drain', group);
    if (work.kind === 'wait')
      sideBySide('maintain-work', (node) => `wait until the work on ${node} is done`, group);
    if (work.kind === 'power-cycle')
      sideBySide('maintain-work', (node) => `switch ${node} off and on again`, group);
    oneByOne('maintain-restore', 'restore', group);
    sideBySide('maintain-check', (node) => `wait until ${node} is well`, group);
  }
  add('maintain-conclude', 'sum up what was done', []);
  return steps;
}

/** Plans that were kept before there were phases have one step after another. */
function planSteps(work: readonly ClusterPlanStep[]): PlannedStep[] {
  const steps = work.map((step, position): PlannedStep => {
    const { action, name } = namedStep(step);
    return { position, phase: step.phase ?? position, action, name, slice: null, work: step };
  });
  const last = Math.max(-1, ...steps.map(({ phase }) => phase));
  const conclusion = { position: work.length, phase: last + 1, slice: null, work: null };
  return [...steps, { ...conclusion, action: 'conclude', name: 'sum up what was done' }];
}

function namedStep(work: ClusterPlanStep): { action: StepAction; name: string } {
  switch (work.action) {
    case 'cordon':
      return { action: 'cordon', name: `close ${work.node} to what is new` };
    case 'uncordon':
      return { action: 'open', name: `open ${work.node}` };
    case 'remove-node':
      return { action: 'remove-node', name: `remove ${work.node} for good` };
    case 'power-off':
      return { action: 'switch', name: `switch ${work.node} off` };
    case 'power-on':
      return { action: 'switch', name: `switch ${work.node} on` };
    case 'migrate-process': {
      const { drvm, pid, from, to } = work;
      return { action: 'move', name: `move process ${pid} of ${drvm} from ${from} to ${to}` };
    }
    case 'move-slice': {
      const { drvm, from, to, isPart } = work;
      const what = isPart ? 'a part of the slice' : 'the slice';
      return { action: 'move-slice', name: `move ${what} of ${drvm} from ${from} to ${to}` };
    }
    case 'rebuild-slice': {
      const { drvm, from, to } = work;
      return { action: 'move-slice', name: `make the slice of ${drvm} on ${from} anew on ${to}` };
    }
    case 'resize-slice':
      return { action: 'change-slice', name: `change what ${work.drvm} holds on ${work.node}` };
  }
}

/** The steps grouped by phase, in order. */
export function phasesOf(steps: readonly PlannedStep[]): PlannedStep[][] {
  return [...Map.groupBy(steps, ({ phase }) => phase).entries()]
    .sort(([a], [b]) => a - b)
    .map(([, group]) => group);
}
