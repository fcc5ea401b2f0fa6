import { DrvsError } from '@drvs/contracts';
import { z } from 'zod';
import type { Transaction } from '../database/database.js';
import { type NodeRow, nodeState, occupies } from './node-view.js';

export const NodeRemoval = z.object({
  /** With what it holds: for a node that is lost. */
  force: z.enum(['true', 'false']).optional(),
  /** The node's name once more, with `force`. */
  confirm: z.string().max(100).optional(),
});

/** @throws DrvsError StateConflict or InvalidInput, unless what the node holds may go with it */
export function requireLost(
  node: NodeRow,
  holders: readonly string[],
  { force, confirm }: { force: boolean; confirm: string | null },
): void {
  const held = `the node ${node.name} holds slices of ${holders.join(', ')}`;
  const details = { drvms: holders };
  if (!force) {
    throw new DrvsError('StateConflict', held, {
      hint: 'Move them off with `drvs node drain`, or delete these DRVMs; if the node is lost for good, remove it with --force.',
      details,
    });
  }
  const state = nodeState(node, node.slices.filter(occupies).length, Date.now());
  if (state !== 'down' && state !== 'off') {
    throw new DrvsError('StateConflict', `${held}, and it is ${state}`, {
      hint: 'By force only a node is removed that is down or off: stop its agent first.',
      details,
    });
  }
  if (confirm === node.name) return;
  throw new DrvsError('InvalidInput', `${held}, which would be lost`, {
    field: 'confirm',
    hint: `Say that you mean it by naming the node once more: confirm=${node.name}.`,
    details,
  });
}

/** What the DRVMs had on the node is gone: they are told, and those that lost their home have failed. */
export async function loseSlices(tx: Transaction, node: NodeRow, by: string): Promise<void> {
  await tx.slice.deleteMany({ where: { nodeId: node.id } });
  for (const drvmId of new Set(node.slices.map((slice) => slice.drvmId))) {
    const drvm = await tx.drvm.findUnique({
      where: { id: drvmId },
      include: { slices: { select: { index: true } }, tenant: { select: { name: true } } },
    });
    if (!drvm) continue;
    const hasHome = drvm.slices.some(({ index }) => index === drvm.homeIndex);
    const what = hasHome ? 'a part of it' : 'its home, with its servers and files,';
    await tx.drvm.update({
      where: { id: drvmId },
      data: {
        generation: { increment: 1 },
        ...(hasHome ? {} : { state: 'failed' as const }),
        detail: `${what} was lost with the node ${node.name}`,
      },
    });
    await tx.event.create({
      data: {
        kind: 'drvm.slice-lost',
        tenantId: drvm.tenantId,
        tenant: drvm.tenant.name,
        drvmId,
        drvm: drvm.name,
        nodeId: node.id,
        node: node.name,
        text: `${drvm.name} lost ${what} with ${node.name}, which ${by} removed`,
      },
    });
  }
}
