import { setTimeout as delay } from 'node:timers/promises';
import { DrvsError, NODE_DOWN_AFTER_MS } from '@drvs/contracts';
import type { Database } from '../database/database.js';

/** How often it is looked whether a node that is waited for is still there. */
const LOOK_EVERY_MS = 1_000;

export async function isDown({ unrestricted }: Database, nodeId: string): Promise<boolean> {
  const node = await unrestricted.node.findUnique({ where: { id: nodeId }, select: { lastSeenAt: true } });
  return !node?.lastSeenAt || node.lastSeenAt.getTime() < Date.now() - NODE_DOWN_AFTER_MS;
}

/**
 * Waits for work on a node only as long as the node is not known to be down; then its signal ends it.
 * @param graceMs until it is looked for the first time: a node that is away may come back
 */
export async function whileUp<O extends { signal: AbortSignal }, T>(
  database: Database,
  nodeId: string,
  options: O,
  work: (options: O) => Promise<T>,
  graceMs = LOOK_EVERY_MS,
): Promise<T> {
  const end = new AbortController();
  const watch = async (): Promise<void> => {
    for (let wait = graceMs; !end.signal.aborted; wait = LOOK_EVERY_MS) {
      await delay(wait, undefined, { signal: end.signal });
      if (await isDown(database, nodeId)) end.abort(new DrvsError('NodeUnreachable', 'the node is down'));
    }
  };
  const watched = watch().catch(() => undefined);
  try {
    return await work({ ...options, signal: AbortSignal.any([options.signal, end.signal]) });
  } finally {
    end.abort();
    await watched;
  }
}

/** As `whileUp`; false when the node is down, and what is to be done there is made good when it comes back. */
export async function unlessDown<O extends { signal: AbortSignal }>(
  database: Database,
  nodeId: string,
  options: O,
  work: (options: O) => Promise<unknown>,
  graceMs?: number,
): Promise<boolean> {
  try {
    await whileUp(database, nodeId, options, work, graceMs);
    return true;
  } catch (error) {
    if (options.signal.aborted || !(await isDown(database, nodeId))) throw error;
    return false;
  }
}
