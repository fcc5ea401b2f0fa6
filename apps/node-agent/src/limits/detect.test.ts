import { expect, test } from '@jest/globals';
import { keyedNumber } from './cgroup-tree.js';
import { parseCgroupMounts, parseOwnCgroups } from './detect.js';

test('mounts of both versions are told apart, with the controllers of each', () => {
  const text = [
    'tmpfs /sys/fs/cgroup tmpfs ro 0 0',
    'cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,cpu,cpuacct 0 0',
    'cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nsdelegate 0 0',
  ].join('\n');
  const mounts = parseCgroupMounts(text);
  expect(mounts.map(({ version }) => version)).toEqual([1, 2]);
  expect(mounts[0]?.controllers).toEqual(expect.arrayContaining(['cpu', 'cpuacct']));
});

test("a process's own groups are found by controller, also those whose name holds a colon", () => {
  const own = parseOwnCgroups('4:memory:/a:b\n2:cpu,cpuacct:/x\n0::/user.slice\n');
  expect(Object.fromEntries(own)).toEqual({ memory: '/a:b', cpu: '/x', cpuacct: '/x', '': '/user.slice' });
});

test('keyed files give their numbers', () => {
  expect(keyedNumber('usage_usec 12\nuser_usec 3\n', 'user_usec')).toBe(3);
  expect(keyedNumber(null, 'user_usec')).toBeNull();
});
