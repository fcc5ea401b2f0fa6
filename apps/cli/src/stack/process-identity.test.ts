import { spawn } from 'node:child_process';
import { describe, expect, test } from '@jest/globals';
import { endProcess, identify, isAlive, signalProcess, waitUntilGone } from './process-identity.js';

const start = (script: string) => spawn('/bin/sh', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore'] });
const saidReady = (child: ReturnType<typeof start>) =>
  new Promise((resolve) => child.stdout.once('data', resolve));

describe('a process by its pid and start time', () => {
  test('is alive until it ends; one that waits to be reaped is dead', async () => {
    const child = start('echo; exec sleep 30');
    await saidReady(child);
    const identity = identify(child.pid!)!;
    expect(isAlive(identity)).toBe(true);
    child.kill('SIGKILL');
    expect(await waitUntilGone(identity, 2_000)).toBe(true);
    expect(identify(child.pid!)).toBeNull();
  });

  test('a process that took over the pid is never signalled', async () => {
    const child = start('echo; exec sleep 30');
    await saidReady(child);
    const former = { pid: child.pid!, startTime: '1' };
    expect(isAlive(former)).toBe(false);
    expect(signalProcess(former, 'SIGKILL')).toBe(false);
    expect(await endProcess(former, 'SIGKILL', 100)).toBe('gone');
    expect(isAlive(identify(child.pid!)!)).toBe(true);
    child.kill('SIGKILL');
  });

  test('one that does not listen is killed after its grace', async () => {
    const child = start("trap '' TERM; echo; while :; do sleep 0.05; done");
    await saidReady(child);
    expect(await endProcess(identify(child.pid!)!, 'SIGTERM', 200)).toBe('killed');
    const listening = start('echo; exec sleep 30');
    await saidReady(listening);
    expect(await endProcess(identify(listening.pid!)!, 'SIGTERM', 2_000)).toBe('ended');
  });
});
