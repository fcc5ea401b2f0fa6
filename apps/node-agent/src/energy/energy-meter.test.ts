import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { createLog } from '../log.js';
import { EnergyMeter, WattIntegral } from './energy-meter.js';
import { EnergyCounter, raplZones } from './rapl.js';

const MILLION = 1_000_000;

async function powercap(
  zones: Record<string, { name: string; energy?: number; range?: number }>,
): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'drvs-powercap-'));
  for (const [entry, { name, energy, range }] of Object.entries(zones)) {
    await mkdir(join(root, entry));
    await writeFile(join(root, entry, 'name'), `${name}\n`);
    if (energy !== undefined) await writeFile(join(root, entry, 'energy_uj'), `${energy}\n`);
    if (range !== undefined) await writeFile(join(root, entry, 'max_energy_range_uj'), `${range}\n`);
  }
  return root;
}

describe("the processor's counters", () => {
  test('are those that count each joule once', async () => {
    const root = await powercap({
      'intel-rapl': { name: 'control' },
      'intel-rapl:0': { name: 'package-0', energy: 1, range: 100 },
      'intel-rapl:0:0': { name: 'core', energy: 1, range: 100 },
      'intel-rapl:0:1': { name: 'dram', energy: 1, range: 100 },
      'intel-rapl:1': { name: 'package-1', energy: 1, range: 100 },
      'intel-rapl-mmio:0': { name: 'package-0', energy: 1, range: 100 },
      'intel-rapl:2': { name: 'package-2' },
    });
    expect(raplZones(root).map(({ name }) => name)).toEqual(['package-0', 'dram', 'package-1']);
    await mkdir(join(root, 'intel-rapl:3'));
    await writeFile(join(root, 'intel-rapl:3', 'name'), 'psys\n');
    await writeFile(join(root, 'intel-rapl:3', 'energy_uj'), '7\n');
    expect(raplZones(root)).toMatchObject([{ name: 'psys', rangeMicrojoules: 0 }]);
    await rm(root, { recursive: true });
    expect(raplZones(root)).toEqual([]);
  });

  test('are added up over their wraps, and make up for what was not seen', () => {
    const counter = new EnergyCounter([
      { path: 'a', rangeMicrojoules: 10 * MILLION },
      { path: 'b', rangeMicrojoules: 0 },
    ]);
    const read = (a: number | null, b: number | null) => counter.look((path) => (path === 'a' ? a : b));
    expect(read(9 * MILLION, 5 * MILLION)).toBe(0);
    expect(read(9.5 * MILLION, 6 * MILLION)).toBe(1.5);
    expect(read(1 * MILLION, null)).toBe(3);
    expect(read(null, 8 * MILLION)).toBe(5);
    // Where the range is not told, what was counted up to the wrap is not known, and nothing is made up.
    expect(read(2 * MILLION, 1 * MILLION)).toBe(6);
    expect(read(Number.NaN, 3 * MILLION)).toBe(8);
  });
});

describe('a meter of watts', () => {
  test('is integrated over time; neither a clock that jumps back nor a long sleep counts', () => {
    const integral = new WattIntegral();
    integral.add(100, 0);
    integral.add(100, 10_000);
    expect(integral.joules).toBe(1_000);
    integral.add(100, 5_000);
    integral.add(50, 7_000);
    expect(integral.joules).toBe(1_100);
    integral.add(1, 1_000_000);
    expect(integral.joules).toBe(1_160);
  });

  test('is read by the command of its owner, before the processor', async () => {
    const root = await powercap({ 'intel-rapl:0': { name: 'package-0', energy: 5, range: 100 } });
    const log = createLog('error', 'node1');
    const meter = new EnergyMeter(['/bin/echo', '42.5', 'W'], root, log);
    for (const until = Date.now() + 20_000; !meter.read() && Date.now() < until; ) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(meter.read()).toMatchObject({ source: 'command' });
    expect(new EnergyMeter(undefined, root, log).read()).toEqual({ source: 'rapl', joules: 0 });
    expect(new EnergyMeter(undefined, join(root, 'none'), log).read()).toBeNull();
    await rm(root, { recursive: true });
  });
});
