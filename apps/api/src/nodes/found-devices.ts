import type { Device, NodeInventory } from '@drvs/contracts';
import type { Transaction } from '../database/database.js';
import { foundTraits } from './node-rules.js';

/** Kinds that the host itself seldom needs; all others begin out of service, until somebody puts them into service. */
const IN_SERVICE_AT_ONCE: readonly Device['kind'][] = ['gpu', 'usb', 'character'];

/**
 * Brings the ledger to the devices and traits that the agent has found. A device that is gone is kept, out of reach,
 * as long as a DRVM holds it.
 */
export async function recordFound(tx: Transaction, nodeId: string, inventory: NodeInventory): Promise<void> {
  await tx.node.update({
    where: { id: nodeId },
    data: { foundTraits: foundTraits(inventory) },
    select: { id: true },
  });
  const host = inventory.hostId ?? inventory.hostname;
  const rows = inventory.devices
    .filter(({ traits }) => !traits.includes('virtual') && !traits.includes('hub'))
    .map((device) => ({
      key: device.id,
      type: device.kind,
      name: device.name,
      path: device.path,
      size_bytes: device.sizeBytes,
      traits: device.traits,
      reserved: IN_SERVICE_AT_ONCE.includes(device.kind) ? 0 : 1,
    }));
  await tx.$executeRaw`
    WITH found AS (
      SELECT * FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
        AS f (key text, type text, name text, path text, size_bytes bigint, traits jsonb, reserved int)
    ), known AS (
      SELECT f.*, ARRAY(SELECT jsonb_array_elements_text(f.traits)) AS trait_list FROM found f
    ), gone AS (
      UPDATE device d SET present = false, generation = d.generation + 1
      WHERE d.node_id = ${nodeId}::uuid AND d.present AND NOT EXISTS (SELECT FROM found f WHERE f.key = d.key)
    )
    INSERT INTO device (id, node_id, key, host, type, name, path, size_bytes, traits, reserved)
    SELECT gen_random_uuid(), ${nodeId}::uuid, key, ${host}, type, name, path, size_bytes, trait_list, reserved FROM known
    ON CONFLICT (node_id, key) DO UPDATE SET
      host = excluded.host, type = excluded.type, name = excluded.name, path = excluded.path,
      size_bytes = excluded.size_bytes, traits = excluded.traits, present = true, generation = device.generation + 1
    WHERE (device.host, device.type, device.name, device.path, device.size_bytes, device.traits, device.present)
      IS DISTINCT FROM (excluded.host, excluded.type, excluded.name, excluded.path, excluded.size_bytes, excluded.traits, true)`;
  await tx.$executeRaw`
    DELETE FROM device d WHERE d.node_id = ${nodeId}::uuid AND NOT d.present
      AND NOT EXISTS (SELECT FROM device_allocation a WHERE a.device_id = d.id)`;
  // A host that was started anew has another identity; what was given of it moves along.
  await tx.$executeRaw`
    UPDATE device_allocation a SET identity = d.host || '/' || d.key FROM device d
    WHERE d.id = a.device_id AND d.node_id = ${nodeId}::uuid AND a.identity <> d.host || '/' || d.key
      AND NOT EXISTS (SELECT FROM device_allocation o WHERE o.identity = d.host || '/' || d.key)`;
}
