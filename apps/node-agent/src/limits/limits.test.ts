import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { joinAndBecome } from '../supervisor/launch.js';
import { type CgroupFindings, detectCgroups } from './detect.js';

/** Against the host's real control groups; where it has none that can be used, each test says so and passes. */

let findings: CgroupFindings;
beforeAll(async () => {
  findings = await detectCgroups(`test-${randomBytes(4).toString('hex')}`);
});
afterAll(async () => {
  if (!findings.tree.isEmpty) await findings.tree.group().remove();
});

function isUsable(controller: 'cpu' | 'memory'): boolean {
  if (findings.tree.versionOf(controller) !== null) return true;
  console.log(`skipped: ${findings.notes.join(' ')}`);
  return false;
}

async function runIn(
  name: string,
  limits: object,
  script: string,
): Promise<{ signal: string | null; cpuMs: number; kills: number }> {
  const group = findings.tree.group(name);
  group.create();
  group.set(limits);
  const [file, ...args] = joinAndBecome(group, [process.execPath, '-e', script]);
  const child = spawn(file as string, args, { stdio: ['ignore', 'inherit', 'ignore'], env: {} });
  const signal = await new Promise<string | null>((resolve) =>
    child.once('exit', (_code, name) => resolve(name)),
  );
  const { cpuMs, memoryKills } = group.usage();
  await group.remove();
  expect(group.folders.some((folder) => existsSync(folder))).toBe(false);
  return { signal, cpuMs: cpuMs ?? Number.NaN, kills: memoryKills };
}

test('a CPU quota holds a process that would take a whole CPU', async () => {
  if (!isUsable('cpu')) return;
  const wallMs = 2_000;
  const { cpuMs } = await runIn(
    'cpu',
    { cpuMilli: 200 },
    `const end = Date.now() + ${wallMs}; while (Date.now() < end);`,
  );
  // 200 thousandths of two seconds (and of the start) and one period of slack.
  expect(cpuMs).toBeGreaterThan(200);
  expect(cpuMs).toBeLessThan(650);
});

test('a memory limit ends the process that goes over it, and the group says so', async () => {
  if (!isUsable('memory')) return;
  const script = 'const kept = []; for (let i = 0; i < 512; i++) kept.push(Buffer.alloc(1048576, 1));';
  const { signal, kills } = await runIn('memory', { memoryMiB: 100 }, script);
  expect(signal).toBe('SIGKILL');
  expect(kills).toBeGreaterThan(0);
});

test('limits can be raised and lowered again', () => {
  if (!isUsable('cpu')) return;
  const group = findings.tree.group('changing');
  group.create();
  for (const cpuMilli of [50, 2_000, 100]) group.set({ cpuMilli, memoryMiB: cpuMilli, pids: 10 });
  return group.remove();
});

test('removing a group ends what runs in it', async () => {
  if (!isUsable('cpu')) return;
  const group = findings.tree.group('doomed');
  group.create();
  const [file, ...args] = joinAndBecome(group, ['sleep', '60']);
  const child = spawn(file as string, args, { stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('exit', (_code, signal) => resolve(signal)));
  while (group.pids().length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await group.remove();
  expect(await ended).toBe('SIGKILL');
  expect(findings.tree.children()).not.toContain('doomed');
});
