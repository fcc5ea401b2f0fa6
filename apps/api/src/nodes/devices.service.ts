import { type DeviceView, DrvsError } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { SpecPush } from '../agents/spec-push.js';
import { AuditService } from '../audit/audit.service.js';
import { type Actor, actorLabel } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { Database, type Transaction } from '../database/database.js';
import { DEVICE_NOT_TO_BE_HAD, sqlState, UNIQUE_VIOLATION } from '../database/sql-state.js';
import { findDrvm } from '../drvms/drvm-view.js';
import { aboutDrvm } from '../events/about-drvm.js';
import { EventsService } from '../events/events.service.js';
import { requireGeneration } from '../http/etag.js';
import { isId } from '../http/reference.js';
import { requireDeviceQuota } from '../tenants/device-quota.js';
import type { DeviceQuery } from './inventory-request.js';

const WITH_HOLDER = {
  node: { select: { name: true } },
  allocation: { include: { drvm: { select: { name: true, tenant: { select: { name: true } } } } } },
} as const;
type DeviceRow = NonNullable<Awaited<ReturnType<typeof findDevice>>>;
/** Devices listed at most. */
const DEVICES_LISTED = 5_000;

/** Devices of nodes, each given to one DRVM at most. */
@Injectable()
export class DevicesService {
  constructor(
    private readonly database: Database,
    private readonly audit: AuditService,
    private readonly events: EventsService,
    private readonly specs: SpecPush,
  ) {}

  /** A department sees those that its own DRVMs hold. */
  async list(actor: Actor, { node, drvm, type }: z.infer<typeof DeviceQuery>): Promise<DeviceView[]> {
    requirePermission(actor, 'node:read');
    return this.database.as(actor, async (tx) => {
      const holder = drvm === undefined ? undefined : (await findDrvm(tx, drvm)).id;
      const rows = await tx.providedDevice.findMany({
        where: {
          type,
          ...(node === undefined ? {} : isId(node) ? { nodeId: node } : { node: { name: node } }),
          ...(holder === undefined ? {} : { allocation: { drvmId: holder } }),
        },
        include: WITH_HOLDER,
        orderBy: [{ node: { name: 'asc' } }, { key: 'asc' }],
        take: DEVICES_LISTED,
      });
      return rows.map(deviceViewOf);
    });
  }

  /** Takes a device out of service, or puts it into service. Whoever has it keeps it until it is detached. */
  async change(
    actor: Actor,
    reference: string,
    { reserved }: { reserved: number },
    generation: number | null,
  ): Promise<DeviceView> {
    requirePermission(actor, 'node:write');
    return this.database.system(async (tx) => {
      const before = await requireDevice(tx, reference);
      await tx.$queryRaw`SELECT 1 FROM device WHERE id = ${before.id}::uuid FOR UPDATE`;
      const device = await requireDevice(tx, before.id);
      requireGeneration(`the device ${reference}`, generation, device.generation);
      await tx.providedDevice.update({
        where: { id: device.id },
        data: { reserved, generation: { increment: 1 } },
      });
      const what = `${device.node.name}/${device.key}`;
      const text = `${actorLabel(actor)} ${reserved > 0 ? `took ${what} out of service` : `put ${what} into service`}`;
      await this.events.record(tx, {
        kind: 'device.service',
        nodeId: device.nodeId,
        node: device.node.name,
        text,
      });
      await this.audit.append(tx, actor, 'device.service', `device/${what}`, null, { reserved });
      return deviceViewOf(await requireDevice(tx, device.id));
    });
  }

  /** Gives it to a DRVM that has a slice on the device's node, also while it runs. */
  async attach(actor: Actor, drvmReference: string, reference: string): Promise<DeviceView> {
    requirePermission(actor, 'drvm:write');
    const { id } = await this.database.as(actor, (tx) => findDrvm(tx, drvmReference));
    try {
      const given = await this.database.system(async (tx) => {
        const drvm = await findDrvm(tx, id);
        await tx.$queryRaw`SELECT 1 FROM tenant WHERE id = ${drvm.tenantId}::uuid FOR UPDATE`;
        const device = await requireDevice(tx, reference);
        if (device.allocation?.drvmId === drvm.id) return deviceViewOf(device);
        if (!drvm.slices.some(({ nodeId }) => nodeId === device.nodeId)) {
          throw new DrvsError('StateConflict', `${drvm.name} has no slice on ${device.node.name}`, {
            hint: `A device serves the slice on its own node: ${drvm.slices.map(({ node }) => node.name).join(', ')}.`,
          });
        }
        await requireDeviceQuota(tx, drvm.tenantId, { [device.type]: 1 });
        await tx.deviceAllocation.create({
          data: { deviceId: device.id, nodeId: device.nodeId, drvmId: drvm.id, tenantId: drvm.tenantId },
          select: { id: true },
        });
        await this.#tell(tx, actor, 'device.attached', drvm, device, 'attached', 'to');
        return deviceViewOf(await requireDevice(tx, device.id));
      });
      await this.specs.push(id, given.nodeId);
      return given;
    } catch (error) {
      const state = sqlState(error);
      if (state !== UNIQUE_VIOLATION && state !== DEVICE_NOT_TO_BE_HAD) throw error;
      const why = state === UNIQUE_VIOLATION ? 'given to another DRVM' : 'out of service, or no longer found';
      throw new DrvsError('StateConflict', `the device ${reference} is ${why}`, {
        hint: 'See `drvs device list`; detach it there first, or put it into service.',
        cause: error,
      });
    }
  }

  async detach(actor: Actor, drvmReference: string, reference: string): Promise<DeviceView> {
    requirePermission(actor, 'drvm:write');
    const { id } = await this.database.as(actor, (tx) => findDrvm(tx, drvmReference));
    const taken = await this.database.system(async (tx) => {
      const drvm = await findDrvm(tx, id);
      const device = await requireDevice(tx, reference);
      const { count } = await tx.deviceAllocation.deleteMany({
        where: { deviceId: device.id, drvmId: drvm.id },
      });
      if (count === 0) {
        throw new DrvsError('NotFound', `${drvm.name} does not have the device ${reference}`, {
          hint: `See \`drvs device list --drvm ${drvm.name}\`.`,
        });
      }
      await this.#tell(tx, actor, 'device.detached', drvm, device, 'detached', 'from');
      return deviceViewOf({ ...device, allocation: null, generation: device.generation + 1 });
    });
    await this.specs.push(id, taken.nodeId);
    return taken;
  }

  async #tell(
    tx: Transaction,
    actor: Actor,
    kind: string,
    drvm: { id: string; name: string; tenantId: string; tenant: { name: string } },
    device: DeviceRow,
    verb: string,
    preposition: string,
  ): Promise<void> {
    const what = `${device.node.name}/${device.key}`;
    await this.events.record(tx, {
      kind,
      ...aboutDrvm(drvm),
      nodeId: device.nodeId,
      node: device.node.name,
      text: `${actorLabel(actor)} ${verb} ${what} ${preposition} ${drvm.name}`,
    });
    await this.audit.append(tx, actor, kind, `drvm/${drvm.name}`, drvm.tenantId, { device: what });
  }
}

/** By id, or by `node/key`. */
function findDevice(tx: Transaction, reference: string) {
  const at = reference.indexOf('/');
  return tx.providedDevice.findFirst({
    where: isId(reference)
      ? { id: reference }
      : { node: { name: reference.slice(0, at) }, key: reference.slice(at + 1) },
    include: WITH_HOLDER,
  });
}

async function requireDevice(tx: Transaction, reference: string): Promise<DeviceRow> {
  const device = await findDevice(tx, reference);
  if (device) return device;
  throw new DrvsError('NotFound', `there is no device ${reference}`, {
    field: 'device',
    hint: 'Name it by its id, or as NODE/KEY; see `drvs device list`.',
  });
}

function deviceViewOf(row: DeviceRow): DeviceView {
  return {
    id: row.id,
    node: row.node.name,
    nodeId: row.nodeId,
    key: row.key,
    type: row.type,
    name: row.name,
    path: row.path,
    sizeBytes: row.sizeBytes === null ? null : Number(row.sizeBytes),
    traits: row.traits,
    total: row.total,
    reserved: row.reserved,
    present: row.present,
    drvm: row.allocation?.drvm.name ?? null,
    drvmId: row.allocation?.drvmId ?? null,
    tenant: row.allocation?.drvm.tenant.name ?? null,
    generation: row.generation,
  };
}
