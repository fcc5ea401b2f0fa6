/**
 * Dominant-resource fairness between tenants (Ghodsi et al., NSDI 2011): a tenant's share is its largest part of any
 * one class of what the cluster has, divided by its weight; what is wanted is given to the tenant with the smallest
 * share first. Nobody gains by asking for more than it needs, and with equal weights nobody would change places.
 */
export interface ShareHolder {
  id: string;
  /** Above 0; weight 2 is due twice what weight 1 is. */
  weight: number;
  /** By class, devices by their type included. */
  used: Readonly<Record<string, number>>;
}

export interface WaitingDemand {
  id: string;
  tenant: string;
  asked: Readonly<Record<string, number>>;
  /** The smaller, the longer it has waited; of one tenant the oldest goes first. */
  sinceMs: number;
}

export interface DominantShare {
  /** 0 to 1 (above 1 where more is given than there is); not divided by the weight. */
  share: number;
  /** The class in which the tenant has it; null when it has nothing. */
  class: string | null;
}

/** A tenant's largest part of any one class. Classes of which there is nothing do not count. */
export function dominantShare(
  used: Readonly<Record<string, number>>,
  total: Readonly<Record<string, number>>,
): DominantShare {
  let most: DominantShare = { share: 0, class: null };
  for (const name of Object.keys(used).sort()) {
    const there = total[name] ?? 0;
    if (there <= 0) continue;
    const share = (used[name] ?? 0) / there;
    if (share > most.share) most = { share, class: name };
  }
  return most;
}

/**
 * The order in which demands are to be met: always the oldest one of the tenant that then has the smallest share by
 * weight, as if each were met in its turn. Ties go to the demand that has waited longer, then to the smaller id.
 */
export function fairOrder<D extends WaitingDemand>(
  demands: readonly D[],
  holders: readonly ShareHolder[],
  total: Readonly<Record<string, number>>,
): D[] {
  const older = (a: D, b: D) => a.sinceMs - b.sinceMs || (a.id < b.id ? -1 : 1);
  const queues = new Map<string, D[]>();
  for (const demand of [...demands].sort(older)) {
    const queue = queues.get(demand.tenant);
    if (queue) queue.push(demand);
    else queues.set(demand.tenant, [demand]);
  }
  const known = new Map(holders.map((holder) => [holder.id, holder]));
  const tenants = [...queues].map(([id, queue]) => {
    const { weight = 1, used = {} } = known.get(id) ?? {};
    return { queue, weight, used: { ...used } as Record<string, number>, next: 0 };
  });
  const order: D[] = [];
  while (order.length < demands.length) {
    let best: (typeof tenants)[number] | null = null;
    let least = Number.POSITIVE_INFINITY;
    for (const tenant of tenants) {
      const head = tenant.queue[tenant.next];
      if (!head) continue;
      const share = dominantShare(tenant.used, total).share / tenant.weight;
      const rival = best?.queue[best.next];
      if (share < least || (share === least && rival && older(head, rival) < 0)) {
        best = tenant;
        least = share;
      }
    }
    const met = best?.queue[best.next++];
    if (!best || !met) break;
    for (const [name, amount] of Object.entries(met.asked)) best.used[name] = (best.used[name] ?? 0) + amount;
    order.push(met);
  }
  return order;
}
