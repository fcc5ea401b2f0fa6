import type { ResourceAmounts } from '@drvs/contracts';
import { z } from 'zod';
import { cpuToMilli } from '../allocations/amounts.js';
import type { Database } from '../database/database.js';

/** Requests that are looked at, those that have waited longest first. */
const WAITING_MOST = 50;
const NODES_MOST = 64;

const Asked = z.object({
  cpu: z.number().positive(),
  memoryMiB: z.number().positive(),
  diskGiB: z.number().min(0).default(1),
  networkMbps: z.number().min(0).default(0),
  nodes: z.union([z.int().min(1), z.array(z.string()).min(1)]).optional(),
});

/** What the creations that wait for room would take of nodes: for each request its slices, each on a node of its own. */
export async function waitingSlices(
  tx: Pick<Database['unrestricted'], 'waitingRequest'>,
): Promise<ResourceAmounts[][]> {
  const rows = await tx.waitingRequest.findMany({
    where: { state: 'waiting' },
    orderBy: { createdAt: 'asc' },
    take: WAITING_MOST,
    select: { input: true },
  });
  return rows.map(({ input }) => slicesOf(input)).filter((slices) => slices.length > 0);
}

function slicesOf(input: unknown): ResourceAmounts[] {
  const asked = Asked.safeParse(input);
  if (!asked.success) return [];
  const { cpu, memoryMiB, diskGiB, networkMbps, nodes = 1 } = asked.data;
  const count = Math.min(NODES_MOST, typeof nodes === 'number' ? nodes : nodes.length);
  const share = (amount: number): number => Math.ceil(amount / count);
  const one = {
    cpuMilli: share(cpuToMilli(cpu)),
    memoryMiB: share(memoryMiB),
    diskGiB: share(diskGiB),
    networkMbps: share(networkMbps),
  };
  return Array.from({ length: count }, () => one);
}
