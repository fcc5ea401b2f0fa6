import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from '@jest/globals';
import { FOLDER_ARGUMENT } from './drvm-folder.js';
import { findContainers, isAlive, parseStat, readStat, signal } from './host-processes.js';

test('a process name with spaces and parentheses does not confuse the reading of its figures', () => {
  const text = `42 (a) S (b) R 7 ${'0 '.repeat(9)}150 50 0 0 20 0 1 0 98765 1000 25 rest`;
  expect(parseStat(text)).toEqual({
    state: 'R',
    parentPid: 7,
    cpuMs: 2_000,
    startTicks: 98_765,
    residentBytes: 25 * 4_096,
  });
});

test('a pid that now belongs to another process is neither alive nor signalled', async () => {
  const child = spawn('sleep', ['30'], { stdio: 'ignore' });
  await once(child, 'spawn');
  const pid = child.pid as number;
  const startTicks = readStat(pid)?.startTicks as number;
  expect(isAlive({ pid, startTicks })).toBe(true);
  expect(signal({ pid, startTicks: startTicks - 1 }, 'SIGKILL')).toBe(false);
  expect(isAlive({ pid, startTicks })).toBe(true);
  const ended = once(child, 'exit');
  expect(signal({ pid, startTicks }, 'SIGKILL')).toBe(true);
  await ended;
  expect(isAlive({ pid, startTicks })).toBe(false);
});

test('containers are found by the folder on their command line, and no others', async () => {
  const folder = `/nowhere/${process.pid}/${Math.random()}`;
  const script = 'setTimeout(() => {}, 30000)';
  const own = spawn(process.execPath, ['-e', script, '--', FOLDER_ARGUMENT, folder], { stdio: 'ignore' });
  const other = spawn(process.execPath, ['-e', script, '--', FOLDER_ARGUMENT, `${folder}x`], {
    stdio: 'ignore',
  });
  try {
    await Promise.all([once(own, 'spawn'), once(other, 'spawn')]);
    while (findContainers(folder).length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(findContainers(folder)).toMatchObject([{ pid: own.pid, role: 'container' }]);
  } finally {
    own.kill('SIGKILL');
    other.kill('SIGKILL');
  }
});
