import type { FailurePhase } from '@drvs/contracts';

/**
 * What is done about a node that fell silent, written down once:
 *
 * ```
 *  well ──silent──▶ suspect ──most witnesses met nobody──▶ confirmed ──▶ fencing ──▶ fenced ──▶ evacuating ──▶ evacuated
 *    ▲                 │ heard again                           │ heard        (operator: confirmed that it is off)     │
 *    │◀────────────────┴───────────────────────────────────────┘                                                      │
 *    │   too often in an hour ──▶ held-out ◀──── heard again after it was fenced ─────────────────────────────────────┘
 *    └──────────────────────────────┘ after its time, or released by an operator
 * ```
 *
 * Rules:
 * 1. Silence is no proof. A node is `confirmed` lost only when more than half of the witnesses that were asked say that
 *    they met nobody there. One connection that opens proves the opposite, whatever all others say.
 * 2. The API may be the one that is cut off: while it hears less than half of the nodes that should be up, nothing is
 *    confirmed and nothing is fenced by itself.
 * 3. Nothing of a node is made anew elsewhere before it is proven that the node is off: its driver has cut its power
 *    and then read that it is off, or an operator has said so. A node without such a driver waits for the operator.
 * 4. A node that was fenced comes back closed: its containers may be those of DRVMs that live elsewhere by now.
 *
 * Time in a phase counts only between two looks, at most LOOK_COUNTS_MS each: neither a clock that jumps nor a pause of
 * the API makes a node lost.
 */
export interface FailureRecord {
  phase: FailurePhase;
  sinceMs: number;
  lookedAtMs: number;
  leftMs: number | null;
  attempts: number;
  reason: string;
  evidence: Evidence[];
  /** When it came back, newest last. */
  returnsMs: number[];
  /** How long it was held out last; the next time is twice as long. */
  heldForMs: number | null;
}

export interface Evidence {
  atMs: number;
  by: string;
  says: string;
}

export interface FailureSight {
  isHeard: boolean;
  silentMs: number;
  /** It is off on purpose, or on its way off or on. */
  isExpectedAway: boolean;
  /** The API hears so few nodes that it may itself be cut off. */
  isApiAlone: boolean;
  /** What the witnesses said since the last look; null when they were not asked, or have not answered yet. */
  verdict: Verdict | null;
  /** Its driver can cut its power and read that it is off. */
  canFence: boolean;
  /** How the last attempt to fence ended; null when none has ended since the last look. */
  fence: { isOff: boolean; says: string } | null;
  /** Of the operation that makes its slices anew; null when there is none. */
  evacuation: 'under-way' | 'succeeded' | 'failed' | null;
  /** No DRVM has anything there. */
  isEmpty: boolean;
}

export type FailureMode = 'off' | 'manual' | 'automatic';

export type FailureAction = 'ask-witnesses' | 'fence' | 'evacuate' | 'close' | 'open';

export interface FailureStep {
  record: FailureRecord;
  actions: FailureAction[];
  /** What people are told; null when nothing is new. */
  told: { kind: string; text: string } | null;
}

export const LOOK_COUNTS_MS = 5_000;
/** Silent for so long (NODE_DOWN_AFTER_MS) it is suspect; then it has this long to be heard before witnesses count. */
const SUSPECT_MS = 15_000;
const ASK_AGAIN_MS = 10_000;
const FENCE_TRIES = 3;
const FENCE_MS = 60_000;
const FLAP_WINDOW_MS = 3_600_000;
const FLAPS_MAX = 3;
const HELD_FIRST_MS = 600_000;
const HELD_LONGEST_MS = 86_400_000;
const EVIDENCE_MAX = 50;

export const WELL: FailureRecord = {
  phase: 'well',
  sinceMs: 0,
  lookedAtMs: 0,
  leftMs: null,
  attempts: 0,
  reason: '',
  evidence: [],
  returnsMs: [],
  heldForMs: null,
};

const LOST: ReadonlySet<FailurePhase> = new Set(['fencing', 'fenced', 'evacuating', 'evacuated']);

export function look(
  before: FailureRecord,
  node: string,
  sight: FailureSight,
  nowMs: number,
  mode: FailureMode,
): FailureStep {
  const passedMs = Math.min(LOOK_COUNTS_MS, Math.max(0, nowMs - before.lookedAtMs));
  const record: FailureRecord = {
    ...before,
    lookedAtMs: nowMs,
    leftMs: before.leftMs === null ? null : Math.max(0, before.leftMs - passedMs),
  };
  if (sight.isHeard && record.phase !== 'well' && record.phase !== 'held-out') {
    return comesBack(record, node, nowMs);
  }
  switch (record.phase) {
    case 'well':
    case 'held-out':
      if (!sight.isHeard && !sight.isExpectedAway && mode !== 'off')
        return suspect(record, node, sight, nowMs);
      if (record.phase === 'held-out' && sight.isHeard && record.leftMs === 0) {
        return letIn(record, node, 'its time is over', nowMs);
      }
      return stay(record);
    case 'suspect':
      return lookSuspect(record, node, sight, nowMs, mode);
    case 'confirmed':
      return lookConfirmed(record, node, sight, nowMs, mode);
    case 'fencing':
      return lookFencing(record, node, sight, nowMs);
    case 'fenced':
      return lookFenced(record, node, sight, nowMs, mode);
    case 'evacuating':
      return lookEvacuating(record, node, sight, nowMs);
    case 'evacuated':
      return stay(record);
  }
}

function suspect(record: FailureRecord, node: string, sight: FailureSight, nowMs: number): FailureStep {
  const reason = `nothing was heard of it for ${Math.round(sight.silentMs / 1_000)} s`;
  const after = enter({ ...record, evidence: [] }, 'suspect', reason, nowMs, SUSPECT_MS);
  return {
    record: prove(after, { atMs: nowMs, by: 'heartbeat', says: reason }),
    actions: ['ask-witnesses'],
    told: {
      kind: 'node.suspect',
      text: `${node} is suspected to have failed: ${reason}; other nodes are asked`,
    },
  };
}

function lookSuspect(
  before: FailureRecord,
  node: string,
  sight: FailureSight,
  nowMs: number,
  mode: FailureMode,
): FailureStep {
  let record = before;
  if (sight.isExpectedAway || mode === 'off') {
    return stay(enter(record, 'well', 'it is away on purpose', nowMs, null));
  }
  for (const each of sight.verdict?.says ?? []) record = prove(record, { atMs: nowMs, ...each });
  if (sight.isApiAlone) {
    return waits(
      record,
      'the API hears less than half of the nodes: it may itself be the one that is cut off',
      node,
      nowMs,
    );
  }
  const { verdict } = sight;
  if (verdict?.is === 'lost' && record.leftMs === 0) {
    return {
      record: enter(record, 'confirmed', verdict.reason, nowMs, null),
      actions: ['close'],
      told: { kind: 'node.lost', text: `${node} is lost: ${verdict.reason}` },
    };
  }
  if (verdict === null)
    return record.leftMs === 0 ? { ...stay(record), actions: ['ask-witnesses'] } : stay(record);
  return waits(
    record,
    verdict.is === 'lost' ? 'it is given a moment to come back' : verdict.reason,
    node,
    nowMs,
  );
}

/** Still suspect, and the witnesses are asked again later. What is new is told, and only that. */
function waits(record: FailureRecord, reason: string, node: string, nowMs: number): FailureStep {
  const isNew = record.reason !== reason;
  const leftMs = record.leftMs === 0 ? ASK_AGAIN_MS : record.leftMs;
  return {
    record: { ...record, reason, leftMs, lookedAtMs: nowMs },
    actions: record.leftMs === 0 ? ['ask-witnesses'] : [],
    told: isNew ? { kind: 'node.suspect', text: `${node} is still only suspected: ${reason}` } : null,
  };
}

function lookConfirmed(
  record: FailureRecord,
  node: string,
  sight: FailureSight,
  nowMs: number,
  mode: FailureMode,
): FailureStep {
  // One whose power could not be cut is the operator's: cutting on would not make it more certain.
  if (mode !== 'automatic' || sight.isApiAlone || record.attempts > 0) return stay(record);
  if (sight.canFence) {
    return {
      record: { ...enter(record, 'fencing', 'its power is cut', nowMs, FENCE_MS), attempts: 1 },
      actions: ['fence'],
      told: { kind: 'node.fencing', text: `the power of ${node} is cut, so that nothing of it runs twice` },
    };
  }
  const reason = `nothing can prove that it is off: confirm it with drvs node fence ${node} --confirmed`;
  if (record.reason === reason) return stay(record);
  return {
    record: { ...record, reason },
    actions: [],
    told: { kind: 'node.fence-needed', text: `${node} is lost, and ${reason}` },
  };
}

function lookFencing(
  before: FailureRecord,
  node: string,
  { fence }: FailureSight,
  nowMs: number,
): FailureStep {
  if (fence === null && before.leftMs !== 0) return stay(before);
  const says = fence?.says ?? 'no answer came in time';
  const record = prove(before, { atMs: nowMs, by: 'power driver', says });
  if (fence?.isOff) return fencedBy(record, node, says, nowMs);
  if (record.attempts >= FENCE_TRIES) {
    return {
      record: {
        ...enter(record, 'confirmed', `its power could not be cut: ${says}`, nowMs, null),
        attempts: FENCE_TRIES,
      },
      actions: [],
      told: {
        kind: 'node.fence-failed',
        text: `the power of ${node} could not be cut in ${record.attempts} tries: ${says}; it waits for an operator`,
      },
    };
  }
  return {
    record: { ...record, attempts: record.attempts + 1, leftMs: FENCE_MS },
    actions: ['fence'],
    told: null,
  };
}

function fencedBy(record: FailureRecord, node: string, says: string, nowMs: number): FailureStep {
  return {
    record: enter(record, 'fenced', says, nowMs, null),
    actions: ['close'],
    told: { kind: 'node.fenced', text: `${node} is proven to be off: ${says}` },
  };
}

/** An operator says that it is off, or asks for its power to be cut. Null when the node is heard: nothing is to be done. */
export function fenceAsked(
  record: FailureRecord,
  node: string,
  by: string,
  isConfirmed: boolean,
  nowMs: number,
): FailureStep {
  const asked = prove(record, {
    atMs: nowMs,
    by,
    says: isConfirmed ? 'confirmed that it is off' : 'asked to cut its power',
  });
  if (isConfirmed) return fencedBy(asked, node, `${by} confirmed that it is off`, nowMs);
  return {
    record: { ...enter(asked, 'fencing', `${by} asked for it`, nowMs, FENCE_MS), attempts: 1 },
    actions: ['fence'],
    told: { kind: 'node.fencing', text: `${by} has the power of ${node} cut` },
  };
}

function lookFenced(
  record: FailureRecord,
  node: string,
  { isEmpty, evacuation }: FailureSight,
  nowMs: number,
  mode: FailureMode,
): FailureStep {
  if (isEmpty) {
    return {
      record: enter(record, 'evacuated', 'no DRVM has anything there', nowMs, null),
      actions: [],
      told: { kind: 'node.evacuated', text: `no DRVM has anything on ${node} any more` },
    };
  }
  if (evacuation === 'under-way')
    return stay(enter(record, 'evacuating', 'its slices are made anew elsewhere', nowMs, null));
  // A plan that could do nothing is made again when the cluster may have changed.
  if (mode !== 'automatic' || (record.leftMs !== null && record.leftMs > 0)) return stay(record);
  return {
    record: { ...record, leftMs: FENCE_MS, attempts: record.attempts + 1 },
    actions: ['evacuate'],
    told: null,
  };
}

function lookEvacuating(
  record: FailureRecord,
  node: string,
  { evacuation, isEmpty }: FailureSight,
  nowMs: number,
): FailureStep {
  if (evacuation === 'under-way') return stay(record);
  if (evacuation === 'succeeded' && isEmpty) {
    return {
      record: enter(record, 'evacuated', 'what it had is made anew elsewhere', nowMs, null),
      actions: [],
      told: { kind: 'node.evacuated', text: `what ${node} had is made anew elsewhere` },
    };
  }
  const reason =
    evacuation === 'succeeded' ? 'some of what it had found no room elsewhere' : 'its evacuation failed';
  return {
    record: enter(record, 'fenced', reason, nowMs, FENCE_MS),
    actions: [],
    told: {
      kind: 'node.evacuation-incomplete',
      text: `${node}: ${reason}; it is tried again, or restore the node`,
    },
  };
}

function comesBack(record: FailureRecord, node: string, nowMs: number): FailureStep {
  const returnsMs = [...record.returnsMs, nowMs].filter((at) => at <= nowMs && at > nowMs - FLAP_WINDOW_MS);
  const wasLost = LOST.has(record.phase);
  if (!wasLost && returnsMs.length < FLAPS_MAX) {
    const wasClosed = record.phase === 'confirmed';
    return {
      record: { ...enter(record, 'well', 'it is heard again', nowMs, null), returnsMs },
      actions: wasClosed ? ['open'] : [],
      told: { kind: 'node.returned', text: `${node} is heard again` },
    };
  }
  const heldForMs = Math.min(
    HELD_LONGEST_MS,
    record.heldForMs === null ? HELD_FIRST_MS : 2 * record.heldForMs,
  );
  const why = wasLost
    ? 'it came back after it was fenced'
    : `it came back ${returnsMs.length} times within an hour`;
  return {
    record: { ...enter(record, 'held-out', why, nowMs, heldForMs), returnsMs, heldForMs },
    actions: ['close'],
    told: {
      kind: 'node.held-out',
      text: `${node} is held out for ${Math.round(heldForMs / 60_000)} minutes: ${why}; earlier with drvs node release ${node}`,
    },
  };
}

/** Lets a node in that was held out; its past is forgotten only when an operator says so. */
export function letIn(record: FailureRecord, node: string, why: string, nowMs: number): FailureStep {
  return {
    record: { ...enter(record, 'well', why, nowMs, null), evidence: [] },
    actions: ['open'],
    told: { kind: 'node.released', text: `${node} takes new work again: ${why}` },
  };
}

/** By an operator: what it did before counts no more. */
export function releasedBy(record: FailureRecord, node: string, by: string, nowMs: number): FailureStep {
  const step = letIn(record, node, `released by ${by}`, nowMs);
  return { ...step, record: { ...step.record, returnsMs: [], heldForMs: null } };
}

const stay = (record: FailureRecord): FailureStep => ({ record, actions: [], told: null });

function enter(
  record: FailureRecord,
  phase: FailurePhase,
  reason: string,
  nowMs: number,
  leftMs: number | null,
): FailureRecord {
  return { ...record, phase, sinceMs: nowMs, lookedAtMs: nowMs, leftMs, attempts: 0, reason };
}

const prove = (record: FailureRecord, evidence: Evidence): FailureRecord => ({
  ...record,
  evidence: [...record.evidence, evidence].slice(-EVIDENCE_MAX),
});

export interface Verdict {
  is: 'alive' | 'lost' | 'unclear';
  reason: string;
  says: { by: string; says: string }[];
}

export interface Testimony {
  witness: string;
  /** What it met at each address; null when the witness itself did not answer. */
  marks:
    | readonly { host: string; port: number; met: 'connected' | 'refused' | 'timed-out' | 'unreachable' }[]
    | null;
}

/**
 * What the witnesses' testimonies come to. A connection that opened proves that something of the node lives. Refused
 * connections say that its host is up and nothing of it listens; silence says nothing more than that. Both count for
 * "lost", and more than half of all that were asked must say so.
 */
export function judge(testimonies: readonly Testimony[]): Verdict {
  const says = testimonies.map(({ witness, marks }) => ({ by: witness, says: inWords(marks) }));
  const alive = testimonies.filter(({ marks }) => marks?.some(({ met }) => met === 'connected'));
  if (alive.length > 0) {
    const by = alive.map(({ witness }) => witness).join(', ');
    return { is: 'alive', reason: `${by} reached it: it lives, and only its agent is not connected`, says };
  }
  const nobody = testimonies.filter(({ marks }) => marks !== null && marks.length > 0).length;
  const asked = testimonies.length;
  if (asked > 0 && nobody * 2 > asked) {
    return { is: 'lost', reason: `${nobody} of ${asked} other nodes met nobody there`, says };
  }
  const why =
    asked === 0 ? 'there is no other node to ask' : `only ${nobody} of ${asked} other nodes could look`;
  return { is: 'unclear', reason: why, says };
}

function inWords(marks: Testimony['marks']): string {
  if (marks === null) return 'did not answer';
  if (marks.length === 0) return 'had nothing to try';
  const counts = Map.groupBy(marks, ({ met }) => met);
  return [...counts]
    .map(([met, group]) => `${group.length} × ${met} (${group[0]!.host}:${group[0]!.port})`)
    .join(', ');
}
