import type { DeviceNeed, DeviceSnapshot, NodeSnapshot } from './placement-request.js';

type Given = { id: string; key: string; type: string };

/**
 * Gives each need its devices from these nodes, none twice; null when that cannot be. A device may suit several needs,
 * so a need that finds all of its own taken asks their holders to take another (augmenting paths, Kuhn).
 */
export function matchDevices(
  needs: readonly DeviceNeed[],
  nodes: readonly NodeSnapshot[],
): Map<string, Given[]> | null {
  const given = new Map<string, Given[]>();
  const units = needs.flatMap((need) => Array.from({ length: need.count }, () => need));
  if (units.length === 0) return given;
  const devices = nodes.flatMap((node) =>
    (node.devices ?? []).filter(({ isFree }) => isFree).map((device) => ({ nodeId: node.id, device })),
  );
  const holder = new Int32Array(devices.length).fill(-1);
  const seen = new Uint8Array(devices.length);
  const settle = (unit: number): boolean => {
    for (let at = 0; at < devices.length; at++) {
      const found = devices[at] as { device: DeviceSnapshot };
      if (seen[at] === 1 || !suits(found.device, units[unit] as DeviceNeed)) continue;
      seen[at] = 1;
      if (holder[at] !== -1 && !settle(holder[at] as number)) continue;
      holder[at] = unit;
      return true;
    }
    return false;
  };
  for (let unit = 0; unit < units.length; unit++) {
    seen.fill(0);
    if (!settle(unit)) return null;
  }
  for (const [at, { nodeId, device }] of devices.entries()) {
    if (holder[at] === -1) continue;
    const { id, key, type } = device;
    given.set(nodeId, [...(given.get(nodeId) ?? []), { id, key, type }]);
  }
  return given;
}

function suits(device: DeviceSnapshot, { type, traits }: DeviceNeed): boolean {
  return device.type === type && traits.every((trait) => device.traits.includes(trait));
}
