import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Device } from '@drvs/contracts';
import { listNames, readText } from './sysfs.js';

/** A host with more devices than this reports the first ones of each kind. */
const DEVICES_MAX_PER_KIND = 256;
const SECTOR_BYTES = 512;

/** PCI base classes (PCI Code and ID Assignment Specification, 1.1). */
const PCI_CLASSES: Record<string, string> = {
  '01': 'storage',
  '02': 'network',
  '03': 'display',
  '04': 'multimedia',
  '05': 'memory',
  '06': 'bridge',
  '07': 'communication',
  '08': 'system',
  '09': 'input',
  '0b': 'processor',
  '0c': 'serial-bus',
  '0d': 'wireless',
  '10': 'encryption',
  '12': 'accelerator',
  ff: 'unassigned',
};

/** A character device or FIFO that the host's administrator names. */
export interface DeclaredDevice {
  name: string;
  path: string;
}

/**
 * The host's devices, from sysfs and /dev, and those that its administrator declares, as far as they are there.
 *
 * @param sys and `dev` are /sys and /dev but in tests.
 */
export function discoverDevices(
  declared: readonly DeclaredDevice[] = [],
  sys = '/sys',
  dev = '/dev',
): Device[] {
  const named = declared.flatMap(declaredDevice);
  const keys = new Set(named.map(({ id }) => id));
  const found = [blockDevices(sys, dev), pciDevices(sys), usbDevices(sys), characterDevices(sys, dev), named];
  return found.flatMap((devices) =>
    devices.filter((device) => devices === named || !keys.has(device.id)).slice(0, DEVICES_MAX_PER_KIND),
  );
}

function declaredDevice({ name, path }: DeclaredDevice): Device[] {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isCharacterDevice() && !stat?.isFIFO()) return [];
  const traits = ['declared', ...(stat.isFIFO() ? ['fifo'] : [])];
  return [{ id: `character:${name}`, kind: 'character', name, path, sizeBytes: null, traits }];
}

function blockDevices(sys: string, dev: string): Device[] {
  return listNames(join(sys, 'block')).flatMap((name): Device[] => {
    const folder = join(sys, 'block', name);
    const sizeBytes = Number(readText(join(folder, 'size')) ?? 0) * SECTOR_BYTES;
    // Loop and RAM devices without a medium are empty drawers, not devices.
    if (sizeBytes === 0) return [];
    const model = readText(join(folder, 'device/model'));
    const traits = [
      readText(join(folder, 'queue/rotational')) === '1' ? 'rotational' : 'solid-state',
      ...(readText(join(folder, 'ro')) === '1' ? ['read-only'] : []),
      ...(readText(join(folder, 'removable')) === '1' ? ['removable'] : []),
      ...(existsSync(join(folder, 'device')) ? [] : ['virtual']),
    ];
    const path = join(dev, name);
    return [
      {
        id: `block:${name}`,
        kind: 'block',
        name: model || name,
        path: existsSync(path) ? path : null,
        sizeBytes,
        traits,
      },
    ];
  });
}

function pciDevices(sys: string): Device[] {
  return listNames(join(sys, 'bus/pci/devices')).map((address): Device => {
    const folder = join(sys, 'bus/pci/devices', address);
    const hex = (file: string) => (readText(join(folder, file)) ?? '').replace(/^0x/, '');
    const code = hex('class');
    const family = PCI_CLASSES[code.slice(0, 2)] ?? `class-${code.slice(0, 2)}`;
    const identity = `${hex('vendor')}:${hex('device')}`;
    const driver = listNames(join(folder, 'driver/module/drivers'))[0]?.replace(/^pci:/, '');
    return {
      id: `pci:${address}`,
      // Display controllers, and processing accelerators, are what programs mean by a GPU.
      kind: family === 'display' || family === 'accelerator' ? 'gpu' : 'pci',
      name: `${family} ${identity}`,
      path: null,
      sizeBytes: null,
      traits: [family, `pci-id:${identity}`, ...(driver ? [`driver:${driver}`] : [])],
    };
  });
}

function usbDevices(sys: string): Device[] {
  return listNames(join(sys, 'bus/usb/devices')).flatMap((name): Device[] => {
    const folder = join(sys, 'bus/usb/devices', name);
    const vendor = readText(join(folder, 'idVendor'));
    // Interfaces of a device (1-1:1.0) have no vendor of their own.
    if (vendor === null) return [];
    const identity = `${vendor}:${readText(join(folder, 'idProduct')) ?? ''}`;
    const words = [readText(join(folder, 'manufacturer')), readText(join(folder, 'product'))].filter(Boolean);
    const isHub = readText(join(folder, 'bDeviceClass')) === '09';
    return [
      {
        id: `usb:${name}`,
        kind: 'usb',
        name: words.join(' ') || identity,
        path: null,
        sizeBytes: null,
        traits: [`usb-id:${identity}`, ...(isHub ? ['hub'] : [])],
      },
    ];
  });
}

function characterDevices(sys: string, dev: string): Device[] {
  const serial = listNames(join(sys, 'class/tty')).filter((name) => {
    // Only terminals with hardware behind them; 8250 slots without a chip say type 0.
    if (!existsSync(join(sys, 'class/tty', name, 'device'))) return false;
    return readText(join(sys, 'class/tty', name, 'type')) !== '0';
  });
  const nodes = [
    ...serial.map((name) => ({ name, traits: ['serial'] })),
    { name: 'kvm', traits: ['virtualization'] },
    { name: 'hwrng', traits: ['random'] },
    ...listNames(join(dev, 'dri'))
      .filter((name) => name.startsWith('renderD'))
      .map((name) => ({ name: `dri/${name}`, traits: ['gpu-render'] })),
    ...listNames(dev)
      .filter((name) => /^(nvidia|video|watchdog|tpm|i2c-|gpiochip)\d+$/.test(name))
      .map((name) => ({ name, traits: [name.replace(/-?\d+$/, '')] })),
  ];
  return nodes.flatMap(({ name, traits }): Device[] => {
    const path = join(dev, name);
    const isThere = existsSync(path) && statSync(path).isCharacterDevice();
    if (!isThere) return [];
    return [{ id: `character:${name}`, kind: 'character', name, path, sizeBytes: null, traits }];
  });
}
