import type { ContainerState, DrvmState } from '@drvs/contracts';

/** `absent`: the node holds no container of it (yet); `lost`: the node is down, so nobody knows. */
export type SliceCondition = ContainerState['state'] | 'absent' | 'lost';

export interface SliceReport {
  node: string;
  index: number;
  condition: SliceCondition;
}

export interface DrvmCondition {
  state: DrvmState;
  /** Why it is not as wanted; empty when it is. */
  detail: string;
}

const WORDS: Record<SliceCondition, string> = {
  starting: 'is starting',
  running: 'runs',
  degraded: 'does not reach all its peers',
  stopped: 'is stopped',
  failed: 'has failed',
  absent: 'is missing',
  lost: 'is on a node that is down',
};

/**
 * What state a DRVM is in, from what is wanted of it and what its containers are. It is `running` only when every
 * container runs; with some of them it is `degraded`, with none `failed` (when it should run) or `stopped`.
 */
export function drvmCondition(wanted: 'running' | 'stopped', slices: readonly SliceReport[]): DrvmCondition {
  const off = slices.filter(({ condition }) =>
    wanted === 'running' ? condition !== 'running' : condition !== 'stopped' && condition !== 'absent',
  );
  const detail = off.map(({ node, condition }) => `the container on ${node} ${WORDS[condition]}`).join('; ');
  if (wanted === 'stopped') {
    // A node that is down and comes back is told to stop then; until then nothing of the DRVM can be used.
    const up = off.some(({ condition }) => condition !== 'lost' && condition !== 'failed');
    return { state: up ? 'degraded' : 'stopped', detail };
  }
  if (off.length === 0) return { state: 'running', detail: '' };
  const alive = slices.some(({ condition }) => ['running', 'degraded', 'starting'].includes(condition));
  return { state: alive ? 'degraded' : 'failed', detail };
}
