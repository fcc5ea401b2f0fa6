import { type DrvmRulesView, DrvsError } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { AuditService } from '../audit/audit.service.js';
import { type Actor, actorLabel } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { Database, type Transaction } from '../database/database.js';
import { EventsService } from '../events/events.service.js';
import type { Prisma } from '../gen/client.js';
import { requireGeneration } from '../http/etag.js';
import { clusterSnapshot } from './cluster-snapshot.js';
import {
  type AffinityRule,
  brokenRules,
  contradictionIn,
  type DrvmRulesChange,
  nodeTermsOf,
  type RuledOther,
} from './drvm-rules.js';
import { type DrvmRow, findDrvm } from './drvm-view.js';
import type { Affinities } from './placement-terms.js';
import { resolveAffinities } from './placement-writes.js';

/** What binds the nodes of a DRVM, changed as it runs: it holds for what comes from then on, and a balance mends the rest. */
@Injectable()
export class DrvmRules {
  constructor(
    private readonly database: Database,
    private readonly events: EventsService,
    private readonly audit: AuditService,
  ) {}

  async show(actor: Actor, reference: string): Promise<DrvmRulesView> {
    requirePermission(actor, 'drvm:read');
    const { id } = await this.database.as(actor, (tx) => findDrvm(tx, reference));
    return this.#view(actor, id);
  }

  /**
   * Nothing is moved. A placement that is decided at this moment may not know of it yet: what it breaks is told and
   * mended as any other.
   * @throws DrvsError InvalidInput for rules that contradict each other; StaleGeneration
   */
  async change(
    actor: Actor,
    reference: string,
    change: DrvmRulesChange,
    generation: number | null,
  ): Promise<DrvmRulesView> {
    requirePermission(actor, 'drvm:write');
    const { id } = await this.database.as(actor, (tx) => findDrvm(tx, reference));
    const named = await resolveAffinities(this.database, actor, change);
    await this.database.system(async (tx) => {
      // One change of affinities at a time: each sees what those before it bind.
      await tx.$queryRaw`SELECT pg_advisory_xact_lock(hashtext('drvs.affinities'))::text`;
      await tx.$queryRaw`SELECT 1 FROM drvm WHERE id = ${id}::uuid FOR UPDATE`;
      const drvm = await findDrvm(tx, id);
      requireGeneration(`the DRVM ${drvm.name}`, generation, drvm.generation);
      if (change.affinity ?? change.antiAffinity) await writeAffinities(tx, drvm, change, named);
      const { affinity: _, antiAffinity: __, ...terms } = change;
      const request = {
        ...(drvm.request as Prisma.JsonObject),
        ...(JSON.parse(JSON.stringify(terms)) as Prisma.JsonObject),
      };
      await tx.drvm.update({
        where: { id },
        data: { request: request as Prisma.InputJsonObject, generation: { increment: 1 } },
      });
      await this.events.record(tx, {
        kind: 'drvm.rules-changed',
        tenantId: drvm.tenantId,
        tenant: drvm.tenant.name,
        drvmId: id,
        drvm: drvm.name,
        text: `${actorLabel(actor)} changed on which nodes ${drvm.name} may be: ${Object.keys(change).join(', ')}`,
      });
      await this.audit.append(tx, actor, 'drvm.rules', `drvm/${drvm.name}`, drvm.tenantId, {
        change: JSON.parse(JSON.stringify(change)) as Prisma.InputJsonObject,
      });
    });
    return this.#view(actor, id);
  }

  async #view(actor: Actor, id: string): Promise<DrvmRulesView> {
    const { drvm, own, others, nodes } = await this.database.system(async (tx) => {
      const row = await findDrvm(tx, id);
      const rules = await tx.drvmAffinity.findMany({
        where: { OR: [{ drvmId: id }, { otherId: id, kind: 'apart' }] },
      });
      return {
        drvm: row,
        own: rules.filter(({ drvmId }) => drvmId === id),
        others: rules.map(({ drvmId, otherId, kind }) => ({
          id: drvmId === id ? otherId : drvmId,
          kind: kind as RuledOther['kind'],
        })),
        nodes: await clusterSnapshot(
          tx,
          row.slices.map(({ nodeId }) => nodeId),
        ),
      };
    });
    const nameOf = await this.#names(
      actor,
      drvm,
      others.map((other) => other.id),
    );
    const terms = nodeTermsOf(drvm.request);
    const named = (kind: string): string[] =>
      own
        .filter((rule) => rule.kind === kind)
        .map(({ otherId }) => nameOf(otherId))
        .sort();
    const ruled = [...new Map(others.map((other) => [`${other.id}/${other.kind}`, other])).values()];
    return {
      drvm: drvm.name,
      drvmId: id,
      affinity: named('together'),
      antiAffinity: named('apart'),
      ...terms,
      broken: brokenRules(
        terms,
        ruled.map((other) => ({ ...other, name: nameOf(other.id) })),
        nodes,
      ),
      generation: drvm.generation,
    };
  }

  /** Whose name the actor may not see keeps it. */
  async #names(actor: Actor, drvm: DrvmRow, ids: readonly string[]): Promise<(id: string) => string> {
    const rows = await this.database.as(actor, (tx) =>
      tx.drvm.findMany({
        where: { id: { in: [...new Set(ids)] } },
        select: { id: true, name: true, tenantId: true, tenant: { select: { name: true } } },
      }),
    );
    const names = new Map(
      rows.map(({ id, name, tenantId, tenant }) => [
        id,
        tenantId === drvm.tenantId ? name : `${tenant.name}~${name}`,
      ]),
    );
    return (id) => names.get(id) ?? 'a DRVM of another department';
  }
}

async function writeAffinities(
  tx: Transaction,
  drvm: DrvmRow,
  { affinity, antiAffinity }: DrvmRulesChange,
  named: Affinities,
): Promise<void> {
  const before = await tx.drvmAffinity.findMany({ where: { drvmId: drvm.id } });
  const kept = (kind: string): string[] =>
    before.filter((rule) => rule.kind === kind).map(({ otherId }) => otherId);
  const together = affinity === undefined ? kept('together') : named.together;
  const apart = antiAffinity === undefined ? kept('apart') : named.apart;
  if ([...together, ...apart].includes(drvm.id)) {
    throw new DrvsError('InvalidInput', `${drvm.name} is neither with itself nor apart from itself`, {
      field: together.includes(drvm.id) ? 'affinity' : 'antiAffinity',
    });
  }
  if (together.some((id) => apart.includes(id))) {
    throw new DrvsError('InvalidInput', 'a DRVM is named in both affinity and antiAffinity', {
      field: affinity === undefined ? 'antiAffinity' : 'affinity',
      hint: 'It cannot be with it and apart from it: give both lists.',
    });
  }
  const rules: AffinityRule[] = [
    ...together.map((otherId) => ({ drvmId: drvm.id, otherId, kind: 'together' })),
    ...apart.map((otherId) => ({ drvmId: drvm.id, otherId, kind: 'apart' })),
  ];
  await tx.drvmAffinity.deleteMany({ where: { drvmId: drvm.id } });
  await tx.drvmAffinity.createMany({ data: rules.map((rule) => ({ ...rule, tenantId: drvm.tenantId })) });
  const all = await tx.drvmAffinity.findMany({ select: { drvmId: true, otherId: true, kind: true } });
  if (contradictionIn(all, drvm.id) === null) return;
  throw new DrvsError(
    'InvalidInput',
    'the rules contradict each other: two DRVMs would be both together and apart',
    {
      field: affinity === undefined ? 'antiAffinity' : 'affinity',
      hint: 'A DRVM that is to be with another is also with those that the other is to be with. See `drvs drvm rules` of each.',
    },
  );
}
