import { DrvsError, type ImportRowView, type TemplateView } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { AuditService } from '../audit/audit.service.js';
import { type Actor, actorLabel } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { Database, type Transaction } from '../database/database.js';
import { sqlState, UNIQUE_VIOLATION } from '../database/sql-state.js';
import { NewDrvm } from '../drvms/drvm-request.js';
import { QueueService } from '../drvms/queue.service.js';
import type { Prisma, Template, Tenant } from '../gen/client.js';
import { requireGeneration } from '../http/etag.js';
import { toDrvsError } from '../http/problem.filter.js';
import { isId } from '../http/reference.js';
import { findTenant } from '../tenants/tenants.service.js';
import { ImportPlanner } from './import-planner.js';
import { type Import, type NewTemplate, TemplateBody } from './template-request.js';

/** What the DRVMs of a course have in common. A department uses its own, and those that are for all. */
@Injectable()
export class TemplatesService {
  constructor(
    private readonly database: Database,
    private readonly queue: QueueService,
    private readonly planner: ImportPlanner,
    private readonly audit: AuditService,
  ) {}

  async list(actor: Actor): Promise<TemplateView[]> {
    requirePermission(actor, 'template:read');
    return this.database.as(actor, async (tx) => {
      const rows = await tx.template.findMany({ orderBy: [{ name: 'asc' }, { id: 'asc' }], take: 1_000 });
      const tenants = await tenantNames(tx, rows);
      return rows.map((row) => viewOf(row, tenants));
    });
  }

  async show(actor: Actor, reference: string): Promise<TemplateView> {
    requirePermission(actor, 'template:read');
    return this.database.as(actor, async (tx) => {
      const row = await findTemplate(tx, actor, reference);
      return viewOf(row, await tenantNames(tx, [row]));
    });
  }

  async create(
    actor: Actor,
    { name, tenant, description, body }: z.infer<typeof NewTemplate>,
  ): Promise<TemplateView> {
    requirePermission(actor, 'template:write');
    TemplateBody.parse(body);
    const reference = tenant ?? actor.tenantId;
    try {
      return await this.database.as(actor, async (tx) => {
        const owner: Tenant | null = reference === null ? null : await findTenant(tx, reference);
        const row = await tx.template.create({
          data: {
            name,
            tenantId: owner?.id ?? null,
            description,
            body: body as Prisma.InputJsonObject,
            createdBy: actorLabel(actor),
          },
        });
        await this.audit.append(tx, actor, 'template.create', `template/${name}`, row.tenantId, {
          body: body as Prisma.InputJsonObject,
        });
        return viewOf(row, await tenantNames(tx, [row]));
      });
    } catch (error) {
      if (sqlState(error) !== UNIQUE_VIOLATION) throw error;
      throw new DrvsError('AlreadyExists', `there is a template named ${name}`, {
        field: 'name',
        hint: 'Choose another name, or delete that one first.',
        cause: error,
      });
    }
  }

  /** DRVMs that were made from it stay as they are. */
  async remove(actor: Actor, reference: string, generation: number | null): Promise<void> {
    requirePermission(actor, 'template:write');
    await this.database.as(actor, async (tx) => {
      const row = await findTemplate(tx, actor, reference);
      requireGeneration(`the template ${row.name}`, generation, row.generation);
      const { count } = await tx.template.deleteMany({ where: { id: row.id } });
      if (count === 0) {
        throw new DrvsError('NotAllowed', `the template ${row.name} is for all departments`, {
          hint: 'Only a supra-administrator deletes it.',
        });
      }
      await this.audit.append(tx, actor, 'template.delete', `template/${row.name}`, row.tenantId, {});
    });
  }

  /** A creation: the template, and over it what is said. @throws ZodError where the two do not make a whole */
  async requestOf(
    actor: Actor,
    reference: string,
    over: Readonly<Record<string, unknown>>,
  ): Promise<NewDrvm> {
    return NewDrvm.parse({ ...(await this.#saidBy(actor, reference)), ...over });
  }

  /** What a template says; one of a department also says for whom, to who belongs to none. */
  async #saidBy(actor: Actor, reference: string): Promise<Record<string, unknown>> {
    const { body, tenant } = await this.show(actor, reference);
    return { ...(tenant !== null && actor.tenantId === null ? { tenant } : {}), ...body };
  }

  /** Line by line; what one line is refused for does not keep the others from being made. */
  async import(actor: Actor, reference: string, { rows, dryRun }: Import): Promise<ImportRowView[]> {
    requirePermission(actor, 'drvm:write');
    const body = await this.#saidBy(actor, reference);
    const requests = rows.map((row) => {
      const parsed = NewDrvm.safeParse({ ...body, ...row });
      return {
        name: String(row.name ?? ''),
        request: parsed.success ? parsed.data : null,
        error: parsed.error,
      };
    });
    const names = requests.map(({ request }) => `${request?.tenant ?? ''}/${request?.name ?? ''}`);
    const views: ImportRowView[] = [];
    const plan = dryRun ? await this.planner.begin(actor) : null;
    for (const [place, { name, request, error }] of requests.entries()) {
      const base = { row: place + 1, name, nodes: [], operation: null, error: null };
      try {
        if (request === null) throw error;
        if (names.indexOf(names[place] as string) !== place) {
          throw new DrvsError('AlreadyExists', `${request.name} is named on an earlier line, too`, {
            field: 'name',
          });
        }
        if (plan) views.push({ ...base, outcome: 'fits', nodes: await plan.place(request) });
        else {
          const made = await this.queue.createOrWait(actor, request);
          views.push(
            'waiting' in made
              ? { ...base, outcome: 'waiting' }
              : {
                  ...base,
                  outcome: 'created',
                  nodes: made.drvm.nodes.map(({ node }) => node),
                  operation: made.operation.id,
                },
          );
        }
      } catch (thrown) {
        const { code, message, hint } = toDrvsError(thrown);
        if (code === 'Internal') throw thrown;
        views.push({ ...base, outcome: 'refused', error: { code, message, ...(hint ? { hint } : {}) } });
      }
    }
    return views;
  }
}

/** By id or name; a department's own before one of the same name that is for all. */
async function findTemplate(tx: Transaction, actor: Actor, reference: string): Promise<Template> {
  const rows = await tx.template.findMany({
    where: isId(reference) ? { id: reference } : { name: reference },
    take: 50,
  });
  const own = rows.find(({ tenantId }) => tenantId === actor.tenantId);
  const row = own ?? (rows.length === 1 ? rows[0] : rows.find(({ tenantId }) => tenantId === null));
  if (row) return row;
  throw new DrvsError('NotFound', `there is no template ${reference}`, { hint: 'See `drvs template list`.' });
}

async function tenantNames(tx: Transaction, rows: readonly Template[]): Promise<ReadonlyMap<string, string>> {
  const ids = rows.flatMap(({ tenantId }) => (tenantId === null ? [] : [tenantId]));
  const tenants = await tx.tenant.findMany({ where: { id: { in: ids } }, select: { id: true, name: true } });
  return new Map(tenants.map(({ id, name }) => [id, name]));
}

function viewOf(row: Template, tenants: ReadonlyMap<string, string>): TemplateView {
  return {
    id: row.id,
    name: row.name,
    tenant: row.tenantId === null ? null : (tenants.get(row.tenantId) ?? null),
    description: row.description,
    body: row.body as Record<string, unknown>,
    createdBy: row.createdBy,
    createdAt: row.createdAt.toISOString(),
    generation: row.generation,
  };
}
