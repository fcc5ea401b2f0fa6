import { readdirSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import type { NetworkInterface } from '@drvs/contracts';
import { readText } from './sysfs.js';

/** Real and virtual interfaces of the host, from /sys/class/net (sysfs-class-net) and their addresses. */
export function discoverInterfaces(): NetworkInterface[] {
  const addresses = networkInterfaces();
  let names: string[];
  try {
    names = readdirSync('/sys/class/net');
  } catch {
    names = Object.keys(addresses);
  }
  return names.sort().map((name) => {
    const folder = `/sys/class/net/${name}`;
    const speed = Number(readText(`${folder}/speed`) ?? Number.NaN);
    const state = readText(`${folder}/operstate`) ?? 'unknown';
    return {
      name,
      mac: readText(`${folder}/address`) || (addresses[name]?.[0]?.mac ?? null),
      addresses: (addresses[name] ?? []).map(({ cidr, address }) => cidr ?? address).sort(),
      // Virtual interfaces say -1 or nothing.
      speedMbps: speed > 0 ? speed : null,
      // The loopback interface never says that it is up.
      state: state === 'unknown' && (addresses[name]?.length ?? 0) > 0 ? 'up' : state,
    };
  });
}

/** Received and sent bytes of all interfaces but the loopback, since boot. */
export function networkBytes(procNetDev: string): number {
  let bytes = 0;
  for (const line of procNetDev.split('\n')) {
    const match = /^\s*([^:\s]+):\s*(.*)$/.exec(line);
    if (!match || match[1] === 'lo') continue;
    const fields = (match[2] as string).trim().split(/\s+/).map(Number);
    bytes += (fields[0] ?? 0) + (fields[8] ?? 0);
  }
  return bytes;
}
