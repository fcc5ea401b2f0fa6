import type { DataFolder } from './data-folder.js';
import { isAlive } from './process-identity.js';
import { isSupervised, type PartState, readRunFile } from './run-file.js';

export interface StackStatus {
  healthy: boolean;
  url: string | null;
  parts: { name: string; state: PartState; pid: number | null; detail: string }[];
}

/** What runs of the stack, from what its supervisor last wrote and what is alive now. */
export function statusOf(folder: DataFolder): StackStatus {
  const run = readRunFile(folder);
  if (run === null) return { healthy: false, url: null, parts: [] };
  const isWatched = isSupervised(run);
  const parts: StackStatus['parts'] = run.parts.map(({ name, state, process, detail }) => {
    const alive = process !== null && isAlive(process);
    if (isWatched) {
      return alive || state !== 'healthy'
        ? { name, state, pid: alive ? process.pid : null, detail }
        : { name, state: 'restarting', pid: null, detail: 'it has just ended' };
    }
    return alive
      ? { name, state: 'unhealthy', pid: process.pid, detail: 'it runs, but nobody looks after it' }
      : { name, state: 'stopped', pid: null, detail: 'it does not run' };
  });
  parts.unshift({
    name: 'supervisor',
    state: isWatched ? (run.state === 'starting' ? 'starting' : 'healthy') : 'stopped',
    pid: isWatched ? run.supervisor.pid : null,
    detail: isWatched
      ? run.state === 'failed'
        ? run.reason
        : 'restarts parts that end'
      : 'it ended without stopping the others; `drvs up` takes them up again',
  });
  const isAsWanted = parts.every(({ state }) => state === 'healthy' || state === 'off');
  return { healthy: isWatched && isAsWanted, url: run.url, parts };
}
