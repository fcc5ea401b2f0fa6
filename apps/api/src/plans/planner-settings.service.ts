import type { PlannerSettingsView } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { AuditService } from '../audit/audit.service.js';
import { type Actor, actorLabel } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { Database } from '../database/database.js';
import { EventsService } from '../events/events.service.js';
import type { Prisma } from '../gen/client.js';
import { requireGeneration } from '../http/etag.js';
import { changed, KeptSettings, type PlannerChange, requireKept, settingsView } from './planner-settings.js';

const KEY = 'planner';

/** What the planners go by: which of them act by themselves, when, and by which values. */
@Injectable()
export class PlannerSettings {
  constructor(
    private readonly database: Database,
    private readonly audit: AuditService,
    private readonly events: EventsService,
  ) {}

  /** For the system's own use. */
  async kept(
    tx: Pick<Database['unrestricted'], 'setting'> = this.database.unrestricted,
  ): Promise<KeptSettings> {
    const row = await tx.setting.findUnique({ where: { key: KEY } });
    return KeptSettings.parse(row?.value ?? {});
  }

  async show(actor: Actor): Promise<PlannerSettingsView> {
    requirePermission(actor, 'policy:read');
    return settingsView(await this.kept());
  }

  /** @throws DrvsError InvalidInput for values that contradict each other; StaleGeneration */
  async change(
    actor: Actor,
    change: PlannerChange,
    generation: number | null = null,
  ): Promise<PlannerSettingsView> {
    requirePermission(actor, 'policy:write');
    return this.database.system(async (tx) => {
      await tx.$queryRaw`SELECT pg_advisory_xact_lock(hashtext('drvs.planner-settings'))::text`;
      const before = await this.kept(tx);
      requireGeneration("the planner's settings", generation, before.generation);
      requireKept(change, await tx.node.count());
      const after: KeptSettings = {
        ...changed(before, change),
        generation: before.generation + 1,
        updatedBy: actorLabel(actor),
        updatedAt: new Date().toISOString(),
      };
      const value = after as unknown as Prisma.InputJsonObject;
      await tx.setting.upsert({ where: { key: KEY }, create: { key: KEY, value }, update: { value } });
      await this.events.record(tx, {
        kind: 'policy.changed',
        text: `${actorLabel(actor)} changed what the planners go by`,
      });
      await this.audit.append(tx, actor, 'policy.change', 'policy/planner', null, {
        change: JSON.parse(JSON.stringify(change)) as Prisma.InputJsonValue,
      });
      return settingsView(after);
    });
  }
}
