import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { CgroupTree, type Controller } from './cgroup-tree.js';

/** What is written where, on ordinary files; limits.test.ts shows that the kernel then keeps to it. */

let base: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'drvs-cgroup-'));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

const read = (...path: string[]): string => readFileSync(join(base, ...path), 'utf8');
const treeOf = (version: 1 | 2, controllers: Controller[]): CgroupTree =>
  new CgroupTree(controllers.map((controller) => ({ controller, version, base })));

test('version 2: controllers are handed down level by level, and one folder holds all limits', () => {
  const group = treeOf(2, ['cpu', 'memory', 'pids']).group('drvms', 'fisica');
  group.create();
  writeFileSync(join(base, 'drvms', 'fisica', 'memory.swap.max'), 'max');
  group.set({ cpuMilli: 333, memoryMiB: 256, pids: 64, cpuWeight: 25 });
  expect(read('cgroup.subtree_control')).toBe('+pids');
  expect(read('drvms', 'cgroup.subtree_control')).toBe('+pids');
  expect(read('drvms', 'fisica', 'cpu.max')).toBe('6660 20000');
  expect(read('drvms', 'fisica', 'cpu.weight')).toBe('25');
  expect(read('drvms', 'fisica', 'memory.max')).toBe('268435456');
  expect(read('drvms', 'fisica', 'memory.swap.max')).toBe('0');
  expect(read('drvms', 'fisica', 'pids.max')).toBe('64');
  expect(group.procsFiles).toEqual([join(base, 'drvms', 'fisica', 'cgroup.procs')]);
});

test('version 2: use and kills are read from keyed files', () => {
  const group = treeOf(2, ['cpu', 'memory']).group('fisica');
  group.create();
  writeFileSync(join(base, 'fisica', 'cpu.stat'), 'usage_usec 1500000\nuser_usec 1\n');
  writeFileSync(join(base, 'fisica', 'memory.events'), 'low 0\noom 3\noom_kill 2\n');
  expect(group.usage()).toEqual({ cpuMs: 1_500, memoryKills: 2 });
  expect(group.pids()).toEqual([]);
});

test('version 1: quota, period and shares; never a quota below what the kernel takes', () => {
  const group = treeOf(1, ['cpu']).group('fisica');
  group.create();
  group.set({ cpuMilli: 10, cpuWeight: 50 });
  expect(read('fisica', 'cpu.cfs_period_us')).toBe('20000');
  expect(read('fisica', 'cpu.cfs_quota_us')).toBe('1000');
  expect(read('fisica', 'cpu.shares')).toBe('512');
  group.clearCpu();
  expect(read('fisica', 'cpu.cfs_quota_us')).toBe('-1');
});

test('version 1: memory with swap is never below memory, whichever way the limit goes', () => {
  const group = treeOf(1, ['memory']).group('fisica');
  group.create();
  writeFileSync(join(base, 'fisica', 'memory.memsw.limit_in_bytes'), '0');
  for (const memoryMiB of [100, 50]) {
    group.set({ memoryMiB });
    expect(read('fisica', 'memory.limit_in_bytes')).toBe(String(memoryMiB * 1_048_576));
    expect(read('fisica', 'memory.memsw.limit_in_bytes')).toBe(String(memoryMiB * 1_048_576));
  }
});
