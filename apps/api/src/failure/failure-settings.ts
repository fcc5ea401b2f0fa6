import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { AuditService } from '../audit/audit.service.js';
import type { Actor } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { Database } from '../database/database.js';

const KEY = 'failure';

export const FailureSettingsInput = z.strictObject({
  /**
   * `off`: silent nodes are only shown as down. `manual`: they are confirmed by others, and an operator fences and
   * evacuates. `automatic`: both are done as soon as they are proven.
   */
  mode: z.enum(['off', 'manual', 'automatic']),
});
export type FailureSettingsInput = z.infer<typeof FailureSettingsInput>;

/** Until somebody decides, nothing is switched off by itself. */
const DEFAULT: FailureSettingsInput = { mode: 'manual' };

@Injectable()
export class FailureSettings {
  constructor(
    private readonly database: Database,
    private readonly audit: AuditService,
  ) {}

  async kept(): Promise<FailureSettingsInput> {
    const row = await this.database.unrestricted.setting.findUnique({ where: { key: KEY } });
    const parsed = FailureSettingsInput.safeParse(row?.value);
    return parsed.success ? parsed.data : DEFAULT;
  }

  show(actor: Actor): Promise<FailureSettingsInput> {
    requirePermission(actor, 'power:read');
    return this.kept();
  }

  async set(actor: Actor, value: FailureSettingsInput): Promise<FailureSettingsInput> {
    requirePermission(actor, 'power:write');
    await this.database.system(async (tx) => {
      await tx.setting.upsert({ where: { key: KEY }, create: { key: KEY, value }, update: { value } });
      await this.audit.append(tx, actor, 'failure.set', 'cluster', null, value);
    });
    return value;
  }
}
