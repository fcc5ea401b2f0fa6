import { type CandidatesView, type CandidateView, DrvsError, type ExplanationView } from '@drvs/contracts';
import {
  type CandidateSet,
  listCandidates,
  MAX_CANDIDATES,
  type PlacementRefusal,
  type PlacementRequest,
} from '@drvs/policy';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { toAmounts } from '../allocations/amounts.js';
import { type Actor, actorLabel } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { Database } from '../database/database.js';
import type { Prisma, Tenant } from '../gen/client.js';
import { isId } from '../http/reference.js';
import { requireDeviceQuota } from '../tenants/device-quota.js';
import { findTenant, quotaOf, usedBy } from '../tenants/tenants.service.js';
import { offerOf } from './candidate-store.js';
import { clusterSnapshot } from './cluster-snapshot.js';
import { NewDrvm, placementRequestOf, tenantAsked } from './drvm-request.js';
import { devicesAsked } from './placement-terms.js';
import { resolveAffinities } from './placement-writes.js';
import { requireQuota } from './quota.js';

const KEPT_MS = 15 * 60_000;
const MAX_SEED = 4_294_967_295;

/** A DRVM that may never be made: its name does not matter. */
export const HypotheticalDrvm = NewDrvm.omit({
  name: true,
  dryRun: true,
  candidate: true,
  lease: true,
  whenFull: true,
});
export const CandidateQuery = HypotheticalDrvm.extend({
  /** Decides between equals; without it one is chosen, and shown. */
  seed: z.int().min(0).max(MAX_SEED).optional(),
  limit: z.int().min(1).max(MAX_CANDIDATES).default(5),
});

type Hypothetical = z.infer<typeof HypotheticalDrvm>;

/** Lists ways of holding a DRVM before one is chosen, and explains why there is none. */
@Injectable()
export class CandidatesService {
  constructor(private readonly database: Database) {}

  async list(
    actor: Actor,
    { seed = Math.floor(Math.random() * (MAX_SEED + 1)), limit, ...input }: z.infer<typeof CandidateQuery>,
  ): Promise<CandidatesView> {
    requirePermission(actor, 'drvm:write');
    const { tenant, request, snapshot } = await this.#prepare(actor, input);
    const found = listCandidates(request, snapshot, { seed, wanted: limit });
    const now = Date.now();
    const expiresAt = new Date(now + KEPT_MS);
    const rows = await this.database.as(actor, async (tx) => {
      await tx.candidate.deleteMany({ where: { expiresAt: { lt: new Date(now) } } });
      return tx.candidate.createManyAndReturn({
        data: found.candidates.map((set) => ({
          tenantId: tenant.id,
          request: input as unknown as Prisma.InputJsonObject,
          offer: set as unknown as Prisma.InputJsonObject,
          requestedBy: actorLabel(actor),
          expiresAt,
        })),
      });
    });
    const counts = new Map<string, number>();
    for (const { rule } of found.rejected) counts.set(rule, (counts.get(rule) ?? 0) + 1);
    return {
      tenant: tenant.name,
      seed,
      snapshot: new Date(now).toISOString(),
      expiresAt: expiresAt.toISOString(),
      candidates: rows.map((row, place) => candidateViewOf(row.id, place + 1, offerOf(row))),
      rules: [...counts].map(([rule, nodes]) => ({ rule, nodes })),
    };
  }

  /** A candidate that was listed, with the request that it was listed for. */
  async show(
    actor: Actor,
    id: string,
  ): Promise<{ candidate: CandidateView; request: Record<string, unknown> }> {
    requirePermission(actor, 'drvm:write');
    const row = isId(id)
      ? await this.database.as(actor, (tx) =>
          tx.candidate.findFirst({ where: { id, expiresAt: { gt: new Date() } } }),
        )
      : null;
    if (!row) {
      throw new DrvsError('NotFound', `there is no candidate ${id.slice(0, 64)}, or it has expired`, {
        hint: 'List them again: `drvs drvm candidates`.',
      });
    }
    return {
      candidate: candidateViewOf(row.id, 1, offerOf(row)),
      request: row.request as Record<string, unknown>,
    };
  }

  /** Nothing is changed or kept. */
  async explain(actor: Actor, input: Hypothetical): Promise<ExplanationView> {
    requirePermission(actor, 'drvm:write');
    const { tenant, request, snapshot } = await this.#prepare(actor, input);
    const overQuota = await this.#overQuota(tenant, request, input);
    const quota = (overQuota?.details?.over ?? []) as ExplanationView['quota'];
    const isNever = quota.some((each) => each.requested > each.quota);
    const base = {
      verdict: overQuota ? (isNever ? ('never' as const) : ('not-now' as const)) : ('now' as const),
      quota: quota.map(({ class: name, quota: most, used, requested }) => ({
        class: name,
        quota: most,
        used,
        requested,
      })),
      short: [],
      rules: [],
      nearest: null,
      best: null,
    };
    const said = overQuota ? [overQuota.message] : [];
    try {
      const [set] = listCandidates(request, snapshot, { seed: 0, wanted: 1 }).candidates;
      const { id: _, ...best } = candidateViewOf('', 1, set as CandidateSet);
      return {
        ...base,
        message: said[0] ?? `it fits now, on ${best.slices.map(({ node }) => node).join(', ')}`,
        hint: overQuota?.hint ?? null,
        best,
      };
    } catch (error) {
      if (!(error instanceof DrvsError) || error.code !== 'InsufficientResources') throw error;
      const refusal = error.details as PlacementRefusal;
      return {
        ...base,
        verdict: isNever || refusal.verdict === 'never' ? 'never' : 'not-now',
        message: [...said, error.message].join('; '),
        hint: [overQuota?.hint, error.hint].filter((hint) => hint !== undefined).join(' ') || null,
        short: [
          ...refusal.short.map(({ class: name, requested, available }) => ({
            class: name,
            requested,
            available,
          })),
          ...refusal.shortDevices.map(({ type, requested, available }) => ({
            class: type,
            requested,
            available,
          })),
        ],
        rules: refusal.rules,
        nearest: nearestView(refusal),
      };
    }
  }

  async #prepare(actor: Actor, input: Hypothetical) {
    const tenant = await this.database.as(actor, (tx) => findTenant(tx, tenantAsked(actor, input)));
    const affinities = await resolveAffinities(this.database, actor, input);
    const request = placementRequestOf({ ...input, name: 'hypothetical', dryRun: true }, affinities);
    const types = (request.devices ?? []).map(({ type }) => type);
    const snapshot = await clusterSnapshot(this.database.unrestricted, undefined, Date.now(), types);
    return { tenant, request, snapshot };
  }

  async #overQuota(
    tenant: Tenant,
    { total }: PlacementRequest,
    input: Hypothetical,
  ): Promise<DrvsError | null> {
    const tx = this.database.unrestricted;
    try {
      requireQuota(tenant.name, quotaOf(tenant), await usedBy(tx, tenant.id), total);
      await requireDeviceQuota(tx, tenant.id, devicesAsked(input));
      return null;
    } catch (error) {
      if (error instanceof DrvsError && error.code === 'QuotaExceeded') return error;
      throw error;
    }
  }
}

function candidateViewOf(
  id: string,
  rank: number,
  { slices, scores }: Pick<CandidateSet, 'slices' | 'scores'>,
): CandidateView {
  return {
    id,
    rank,
    slices: slices.map(({ node, index, amounts, devices = [] }) => ({
      node,
      index,
      ...toAmounts(amounts),
      devices: devices.map(({ key, type }) => ({ key, type })),
    })),
    scores,
  };
}

function nearestView({ nearest }: PlacementRefusal): ExplanationView['nearest'] {
  if (nearest === null) return null;
  return {
    ...toAmounts(nearest),
    nodes: nearest.nodes,
    devices: (nearest.devices ?? []).map(({ type, count }) => ({ type, count })),
  };
}
