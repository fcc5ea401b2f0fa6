// A large cluster as rows of the ledger: nodes that are up for the length of the benchmark, and DRVMs on them.
import { createHash, randomBytes } from 'node:crypto';

const HOST = { arch: 'x64', os: 'linux', kernel: '6.1', cpuModel: 'bench' };
const CLASSES = ['cpuMilli', 'memoryMiB', 'diskGiB', 'networkMbps'];

/** @returns ids of the nodes node1..nodeN, in this order */
export async function insertNodes(client, count, total) {
  const inventory = {
    ...HOST,
    hostname: 'bench',
    host: total,
    offered: total,
    interfaces: [],
    devices: [],
    traits: [],
    enforcement: { cpu: 'fuel-only', memory: 'kernel-only', namespaces: [], user: 'shared-uid', notes: [] },
    agentVersion: '0.1.0',
  };
  const ids = [];
  for (let n = 1; n <= count; n++) {
    const { rows } = await client.query(
      `INSERT INTO node (name, credential_hash, inventory, agent_version, last_seen_at)
       VALUES ($1, $2, $3, '0.1.0', now() + interval '1 hour') RETURNING id`,
      [`node${n}`, createHash('sha256').update(randomBytes(16)).digest('hex'), inventory],
    );
    ids.push(rows[0].id);
    for (const name of CLASSES) {
      await client.query('INSERT INTO inventory (node_id, class, total) VALUES ($1, $2, $3)', [
        rows[0].id,
        name,
        total[name],
      ]);
    }
  }
  return ids;
}

/** DRVMs `d0`… of one tenant, each with `slices` slices of these amounts on nodes one after another. @returns their ids */
export async function insertDrvms(client, tenantId, nodeIds, count, slices, amounts) {
  const ids = [];
  for (let d = 0; d < count; d++) {
    const { rows } = await client.query(
      `INSERT INTO drvm (tenant_id, name, state) VALUES ($1, $2, 'running') RETURNING id`,
      [tenantId, `d${d}`],
    );
    ids.push(rows[0].id);
    for (let index = 0; index < slices; index++) {
      await client.query(
        `INSERT INTO slice (drvm_id, tenant_id, node_id, slice_index, cpu_milli, memory_mib, disk_gib, network_mbps)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
        [
          rows[0].id,
          tenantId,
          nodeIds[(d + index) % nodeIds.length],
          index,
          ...CLASSES.map((name) => amounts[name]),
        ],
      );
    }
  }
  return ids;
}
