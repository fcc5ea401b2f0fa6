import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { NodeInventory } from '@drvs/contracts';
import { expect, test } from '@jest/globals';
import { discoverDevices } from './devices.js';
import { discoverHost, offeredShare } from './discover.js';
import { networkBytes } from './interfaces.js';
import { UsageMeter } from './usage.js';

const NOTHING = { cpu: undefined, memoryMiB: undefined, diskGiB: undefined, networkMbps: undefined };

test("this host's own resources are found, as the inventory's schema wants them", () => {
  const { notes, diskFreeGiB, ...facts } = discoverHost(tmpdir());
  const inventory = NodeInventory.parse({
    ...facts,
    offered: offeredShare({ ...facts, notes, diskFreeGiB }, NOTHING),
    enforcement: { cpu: 'fuel-only', memory: 'kernel-only', namespaces: [], user: 'shared-uid', notes },
    agentVersion: '0',
  });
  expect(inventory.host.cpuMilli).toBeLessThanOrEqual(cpus().length * 1_000);
  expect(inventory.host.memoryMiB).toBe(Math.floor(totalmem() / 1_048_576));
  expect(inventory.offered.cpuMilli).toBeLessThan(inventory.host.cpuMilli);
});

test('offering more than the host has is refused with the setting and both figures', () => {
  const facts = discoverHost(tmpdir());
  expect(() => offeredShare(facts, { ...NOTHING, cpu: 10_000 })).toThrow(
    /DRVS_OFFER_CPU offers 10000000 .* has \d+/,
  );
});

test('block, PCI, GPU, USB, serial and declared devices are told apart, empty drawers left out', () => {
  const root = mkdtempSync(join(tmpdir(), 'drvs-sys-'));
  const put = (path: string, text: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), `${text}\n`);
  };
  put('sys/block/loop0/size', '0');
  put('sys/block/sda/size', '2048');
  put('sys/block/sda/queue/rotational', '0');
  put('sys/block/sda/device/model', 'FAST DISK');
  put('sys/bus/pci/devices/0000:01:00.0/class', '0x030000');
  put('sys/bus/pci/devices/0000:01:00.0/vendor', '0x10de');
  put('sys/bus/pci/devices/0000:01:00.0/device', '0x1234');
  put('sys/bus/pci/devices/0000:02:00.0/class', '0x020000');
  put('sys/bus/usb/devices/1-1/idVendor', '0951');
  put('sys/bus/usb/devices/1-1/product', 'Stick');
  put('sys/bus/usb/devices/1-1:1.0/bInterfaceClass', '08');
  execFileSync('mkfifo', [join(root, 'sensor')]);
  const declared = [
    { name: 'sensor', path: join(root, 'sensor') },
    { name: 'pulled', path: join(root, 'pulled') },
    { name: 'file', path: join(root, 'sys/block/sda/size') },
  ];
  const devices = discoverDevices(declared, join(root, 'sys'), join(root, 'dev'));
  rmSync(root, { recursive: true });
  expect(devices.map(({ id, kind, name }) => [id, kind, name])).toEqual([
    ['block:sda', 'block', 'FAST DISK'],
    ['pci:0000:01:00.0', 'gpu', 'display 10de:1234'],
    ['pci:0000:02:00.0', 'pci', 'network :'],
    ['usb:1-1', 'usb', 'Stick'],
    ['character:sensor', 'character', 'sensor'],
  ]);
  expect(devices[0]).toMatchObject({ sizeBytes: 1_048_576, traits: ['solid-state'] });
});

test('network traffic is counted without the loopback', () => {
  const text =
    'Inter-|   Receive\n face |bytes\n    lo: 99 0 0 0 0 0 0 0 99 0\n  eth0:1000 1 0 0 0 0 0 0 500 1 0 0';
  expect(networkBytes(text)).toBe(1_500);
});

test('use of CPU is what was added between two looks; a container that is new or began anew adds nothing false', () => {
  const meter = new UsageMeter();
  const container = {
    drvmId: 'fisica',
    generation: 1,
    state: 'running' as const,
    detail: '',
    osPid: 7,
    cpuMs: 5_000,
    residentBytes: 52_428_800,
    guestMemoryBytes: 0,
    processes: 0,
    restarts: 0,
    isolation: '',
  };
  expect(meter.measure(1_000, [container], 0).used.cpuMilli).toBe(0);
  const second = meter.measure(
    3_000,
    [
      { ...container, cpuMs: 6_000 },
      { ...container, drvmId: 'b', cpuMs: 400 },
    ],
    0,
  );
  expect(second.used).toMatchObject({ cpuMilli: 500, memoryMiB: 100 });
  expect(meter.measure(5_000, [{ ...container, cpuMs: 10 }], 0).used.cpuMilli).toBe(0);
});
