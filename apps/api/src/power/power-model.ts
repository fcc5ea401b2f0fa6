import type { PowerModelView } from '@drvs/contracts';
import type { PowerModel } from '@drvs/policy';
import { z } from 'zod';
import type { NodePower } from '../gen/client.js';

const WATTS_MAX = 100_000;
const Watts = z.number().min(0).max(WATTS_MAX);
const CURVE_POINTS_MAX = 32;

/** What an administrator may say of a node's draw; what is left out is as stated for a machine of its size. */
export const PowerModelInput = z
  .strictObject({
    idleWatts: Watts,
    fullWatts: Watts,
    offWatts: Watts,
    bootSeconds: z.number().min(0).max(86_400),
    restWatts: Watts,
    /** Of the CPUs in use (0..1), rising; linear between the points. */
    curve: z.array(z.strictObject({ use: z.number().min(0).max(1), watts: Watts })).max(CURVE_POINTS_MAX),
  })
  .partial();
export type PowerModelInput = z.infer<typeof PowerModelInput>;

/**
 * The stated model of a machine that nobody has measured: 30 W, and 4 W idle to 14 W busy for each of its CPUs; 2 W when
 * off, two minutes to boot. It is an assumption to plan and compare with, and not a measurement; a meter or a figure
 * of the administrator's takes its place.
 */
export function statedModel(cpus: number): PowerModelView {
  return {
    idleWatts: 30 + 4 * cpus,
    fullWatts: 30 + 14 * cpus,
    offWatts: 2,
    bootSeconds: 120,
    restWatts: 20,
    curve: [],
    origin: 'stated',
  };
}

/** @param cpus of the node's host */
export function modelOf(row: Pick<NodePower, 'model'> | null, cpus: number): PowerModelView {
  const stated = statedModel(cpus);
  const given = PowerModelInput.safeParse(row?.model ?? {});
  if (!given.success || Object.keys(given.data).length === 0) return stated;
  const model = { ...stated, ...given.data, origin: 'configured' as const };
  return { ...model, fullWatts: Math.max(model.idleWatts, model.fullWatts) };
}

/** Draw at a share of the CPUs in use, 0..1; what is out of it is taken as its end. */
export function wattsAt(model: PowerModelView, use: number): number {
  const share = Math.min(1, Math.max(0, Number.isFinite(use) ? use : 0));
  const points = [
    { use: 0, watts: model.idleWatts },
    ...model.curve.filter((point) => point.use > 0 && point.use < 1).sort((a, b) => a.use - b.use),
    { use: 1, watts: model.fullWatts },
  ];
  const above = points.findIndex((point) => point.use >= share);
  const [low, high] = [points[Math.max(0, above - 1)]!, points[above]!];
  if (high.use === low.use) return high.watts;
  return low.watts + ((high.watts - low.watts) * (share - low.use)) / (high.use - low.use);
}

/** The CPUs of a node's host, of the inventory that its agent told last. */
export function cpusOf(inventory: unknown): number {
  const host = (inventory as { host?: { cpuMilli?: unknown } } | null)?.host?.cpuMilli;
  return typeof host === 'number' && host > 0 ? host / 1_000 : 1;
}

/**
 * What the planners are told of a node's power. It is theirs to switch when a driver is set that can both wake it and
 * be asked, its administrator lets them, and it has not failed to come back.
 */
export function plannerPower(
  row: NodePower | null,
  inventory: unknown,
  isSwitched = row !== null && row.driver !== 'none',
): PowerModel {
  const { idleWatts, fullWatts, offWatts, bootSeconds } = modelOf(row, cpusOf(inventory));
  return {
    idleWatts: Math.round(idleWatts),
    fullWatts: Math.round(fullWatts),
    offWatts: Math.round(offWatts),
    bootSeconds,
    isControlled: isSwitched && (row?.automatic ?? true),
    hasFailedToWake: (row?.failures ?? 0) > 0 || row?.state === 'quarantined',
  };
}
