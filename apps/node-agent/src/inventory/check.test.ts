import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NODE_CHECKS, NodeCheck } from '@drvs/contracts';
import { expect, test } from '@jest/globals';
import { checkNode } from './check.js';

test('a sound host passes every part of the check, and nothing is left on its disk', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'drvs-check-'));
  // A steady clock of its own: how this machine's clock is set meanwhile is not what is tested here.
  const now = () => performance.now();
  const check = NodeCheck.parse(await checkNode(folder, { wallMs: () => 1_000 + now(), steadyMs: now }));
  expect(check.items.map(({ name, passed }) => [name, passed])).toEqual(
    NODE_CHECKS.map((name) => [name, true]),
  );
  expect(readdirSync(folder)).toEqual([]);
  rmSync(folder, { recursive: true });
});

test('a disk that takes nothing, and a clock that jumps, fail with what was found', async () => {
  let wall = 0;
  const clocks = { wallMs: () => (wall += 60_000), steadyMs: () => performance.now() };
  const check = await checkNode(join(tmpdir(), 'drvs-no-such-folder'), clocks);
  const of = (name: string) => check.items.find((item) => item.name === name);
  expect(of('disk')).toMatchObject({ passed: false, detail: expect.stringContaining('ENOENT') });
  expect(of('clock')).toMatchObject({ passed: false, detail: expect.stringContaining('it jumped') });
  expect(of('cpu')?.passed).toBe(true);
});
