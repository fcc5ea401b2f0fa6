import { DrvsError } from '@drvs/contracts';

/**
 * All that the planners let an administrator decide. Shares are of the capacity, 0 to 1; the marks and the two hold
 * times follow vSphere DPM: 63 % ± 18 %, quick to help (5 minutes), slow to take away (40 minutes).
 */
export interface PlannerPolicy {
  /** A node above this CPU utilisation is hot, and no plan makes one so. */
  hotUtilisation: number;
  /** Waking nodes aims at this; emptying nodes stops before it. */
  targetUtilisation: number;
  /** A node below this is a candidate for being emptied. */
  coldUtilisation: number;
  hotHoldSeconds: number;
  coldHoldSeconds: number;
  /** What has been moved stays where it is for so long (drain and evacuation do not ask). */
  coolDownSeconds: number;
  /** Moves of slices and processes in any hour, per node of the cluster. */
  movesPerHourPerNode: number;
  balance: {
    /** For how long a load is expected to go on: a move earns its gain for so long. */
    horizonSeconds: number;
    /** What a move earns must be so many times its cost. */
    payback: number;
    /** Least gain of a move, in processes waiting. */
    gainMin: number;
  };
  power: {
    /** So many nodes stay on whatever the load. */
    nodesMin: number;
    /** Share of CPU (by load) and of memory (by guarantee) that is kept free when nodes are switched off. */
    headroomKept: number;
    /** Below this share nodes are woken; less than `headroomKept`, so that the two do not chase each other. */
    headroomLeast: number;
    /** How long a node is expected to stay off; its savings are reckoned over this. */
    offSeconds: number;
    payback: number;
    /** Nodes switched in one plan at most: many at once are a surge on the mains. */
    switchesMax: number;
  };
  reallocate: {
    /** What is held above the need before it counts as idle, as a share of the need. */
    margin: number;
    /** Lent in units of this; changes smaller than one are not worth a step. */
    cpuStepMilli: number;
    memoryStepMiB: number;
    /** Something idle is given back after so long, or at once when somebody on the node needs it. */
    idleHoldSeconds: number;
  };
  migration: MigrationModel;
}

/** Measured on two processes of one host: 1 MiB 3 ms pause, 16 MiB 29 ms, 64 MiB 104 ms with one copy. */
export interface MigrationModel {
  streamMbps: number;
  fixedSeconds: number;
  pauseMsFixed: number;
  pauseMsPerMiB: number;
  /** Images larger than this are sent beforehand while they run. */
  preCopyFromMiB: number;
  /** CPU spent at both ends on encrypting, sending and receiving. */
  coreSecondsPerGiB: number;
}

export const DEFAULT_POLICY: PlannerPolicy = {
  hotUtilisation: 0.81,
  targetUtilisation: 0.63,
  coldUtilisation: 0.45,
  hotHoldSeconds: 300,
  coldHoldSeconds: 2400,
  coolDownSeconds: 1800,
  movesPerHourPerNode: 4,
  balance: { horizonSeconds: 600, payback: 2, gainMin: 0.25 },
  power: {
    nodesMin: 1,
    headroomKept: 0.15,
    headroomLeast: 0.08,
    offSeconds: 3600,
    payback: 2,
    switchesMax: 60,
  },
  reallocate: { margin: 0.1, cpuStepMilli: 50, memoryStepMiB: 64, idleHoldSeconds: 120 },
  migration: {
    streamMbps: 1000,
    fixedSeconds: 0.05,
    pauseMsFixed: 1.5,
    pauseMsPerMiB: 1.6,
    preCopyFromMiB: 32,
    coreSecondsPerGiB: 6,
  },
};

type Partial2<T> = { [K in keyof T]?: T[K] extends number ? number : Partial<T[K]> };

const SHARES = new Set([
  'hotUtilisation',
  'targetUtilisation',
  'coldUtilisation',
  'headroomKept',
  'headroomLeast',
]);
const AMOUNT_MAX = 1e9;

/** Counted: nodes, switches, moves, thousandths of a vCPU, MiB. */
const WHOLE = new Set([
  'movesPerHourPerNode',
  'nodesMin',
  'switchesMax',
  'cpuStepMilli',
  'memoryStepMiB',
  'preCopyFromMiB',
]);

/**
 * The default policy with these values in place of its own.
 * @throws DrvsError InvalidInput for an unknown name, a value out of range, or values that contradict each other
 */
export function plannerPolicy(changes: Partial2<PlannerPolicy> = {}): PlannerPolicy {
  const policy = merge(DEFAULT_POLICY as unknown as Tree, changes as Tree, '') as unknown as PlannerPolicy;
  const contradiction = (field: string, message: string): DrvsError =>
    new DrvsError('InvalidInput', `the policy contradicts itself: ${message}`, {
      field,
      hint: 'Change these values together, or put one back to its default (`drvs policy set NAME=`).',
    });
  const { coldUtilisation, targetUtilisation, hotUtilisation, balance, power, migration, reallocate } =
    policy;
  if (!(coldUtilisation < targetUtilisation && targetUtilisation < hotUtilisation)) {
    throw contradiction(
      'targetUtilisation',
      `cold ${coldUtilisation}, target ${targetUtilisation} and hot ${hotUtilisation} must rise in this order`,
    );
  }
  if (power.headroomLeast >= power.headroomKept) {
    throw contradiction(
      'power.headroomLeast',
      `nodes are woken below ${power.headroomLeast} free, which must be less than the ${power.headroomKept} that is kept`,
    );
  }
  if (power.headroomKept >= 1) {
    throw contradiction(
      'power.headroomKept',
      'all of the cluster is to stay free, so nothing could ever be switched off',
    );
  }
  for (const [field, value] of [
    ['balance.horizonSeconds', balance.horizonSeconds],
    ['power.offSeconds', power.offSeconds],
    ['migration.streamMbps', migration.streamMbps],
    ['reallocate.cpuStepMilli', reallocate.cpuStepMilli],
    ['reallocate.memoryStepMiB', reallocate.memoryStepMiB],
    ['power.switchesMax', power.switchesMax],
  ] as const) {
    if (value <= 0) throw contradiction(field, `${field} is ${value} and must be more than 0`);
  }
  return policy;
}

interface Tree {
  [name: string]: number | Tree;
}

function merge(defaults: Tree, changes: Tree, path: string): Tree {
  if (typeof changes !== 'object' || changes === null || Array.isArray(changes)) {
    throw new DrvsError('InvalidInput', `${path === '' ? 'a policy' : path} is an object of named values`, {
      ...(path === '' ? {} : { field: path }),
    });
  }
  const merged = { ...defaults };
  for (const [name, value] of Object.entries(changes)) {
    const field = path === '' ? name : `${path}.${name}`;
    const usual = Object.hasOwn(defaults, name) ? defaults[name] : undefined;
    if (usual === undefined) {
      throw new DrvsError('InvalidInput', `a policy has no ${field}`, {
        field,
        hint: `There are ${Object.keys(defaults).join(', ')}.`,
      });
    }
    if (value === undefined) continue;
    if (typeof usual !== 'number') {
      merged[name] = merge(usual, value as Tree, field);
      continue;
    }
    const most = SHARES.has(name) ? 1 : AMOUNT_MAX;
    if (typeof value !== 'number' || !(value >= 0 && value <= most)) {
      throw new DrvsError(
        'InvalidInput',
        `${field} is a number from 0 to ${most}, not ${JSON.stringify(value)}`,
        { field, hint: `The default is ${usual}.` },
      );
    }
    if (WHOLE.has(name) && !Number.isInteger(value)) {
      throw new DrvsError('InvalidInput', `${field} is a whole number, not ${value}`, {
        field,
        hint: `${Math.floor(value)} or ${Math.ceil(value)} would do.`,
      });
    }
    merged[name] = value;
  }
  return merged;
}
