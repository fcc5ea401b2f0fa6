import { Injectable } from '@nestjs/common';
import { Database } from '../database/database.js';
import { SettingsService } from '../settings/settings.service.js';
import { admit } from './admission.js';

/** Of each tenant so many more are looked at than there are places: those that wait for a busy node take none. */
const LOOKED_AT_MORE = 32;

interface WaitingRow {
  id: string;
  tenant_id: string | null;
  node_ids: string[];
  is_urgent: boolean;
}

/**
 * Gives waiting operations their places, for all API processes one at a time. An operation without a place has no job
 * and costs nothing but its row, however many wait.
 */
@Injectable()
export class OperationAdmission {
  #last: Promise<string[]> = Promise.resolve([]);
  #next: Promise<string[]> | null = null;

  constructor(
    private readonly database: Database,
    private readonly settings: SettingsService,
  ) {}

  /** @returns the ids of those that got their place now. Calls that come while one is under way share the next one. */
  admit(): Promise<string[]> {
    this.#next ??= this.#last
      .catch(() => [])
      .then(() => {
        this.#next = null;
        this.#last = this.#admit();
        return this.#last;
      });
    return this.#next;
  }

  async #admit(): Promise<string[]> {
    const places = {
      atOnce: await this.settings.get('operations.atOnce'),
      perTenant: await this.settings.get('operations.atOncePerTenant'),
      perNode: await this.settings.get('operations.atOncePerNode'),
    };
    return this.database.system(async (tx) => {
      await tx.$queryRaw`SELECT 1 AS locked FROM (SELECT pg_advisory_xact_lock(hashtext('drvs.admission'))) AS lock`;
      const underWay = await tx.$queryRaw<{ tenant_id: string | null; node_ids: string[] }[]>`
        SELECT tenant_id::text, node_ids::text[] FROM operation
        WHERE state IN ('queued', 'running') AND admitted_at IS NOT NULL AND kind NOT LIKE 'node.%'`;
      const free = places.atOnce - underWay.length;
      const lookedAt = free > 0 ? free + LOOKED_AT_MORE : 0;
      // What is cancelled or too late only ends; what puts nodes in order must not wait for those that wait for them.
      const waiting = await tx.$queryRaw<WaitingRow[]>`
        WITH waiting AS MATERIALIZED (
          SELECT id, tenant_id, node_ids,
            cancel_requested_at IS NOT NULL OR coalesce(deadline_at <= now(), false) OR kind LIKE 'node.%' AS is_urgent,
            row_number() OVER (PARTITION BY tenant_id ORDER BY id) AS place
          FROM operation WHERE state = 'queued' AND admitted_at IS NULL
        )
        SELECT id::text, tenant_id::text, node_ids::text[], is_urgent FROM waiting
        WHERE is_urgent OR place <= ${lookedAt} ORDER BY id`;
      if (waiting.length === 0) return [];
      const ids = admit(
        waiting.map((row) => ({
          id: row.id,
          tenantId: row.tenant_id,
          nodeIds: row.node_ids,
          isUrgent: row.is_urgent,
        })),
        underWay.map((row) => ({ tenantId: row.tenant_id, nodeIds: row.node_ids })),
        places,
      );
      if (ids.length > 0) {
        await tx.$executeRaw`UPDATE operation SET admitted_at = clock_timestamp() WHERE id = ANY(${ids}::uuid[])`;
      }
      return ids;
    });
  }
}
