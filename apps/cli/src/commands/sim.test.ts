import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { buildCommandLine, runCommand } from '../testing/command-line.js';

let folder: string;

beforeAll(async () => {
  buildCommandLine();
  folder = await mkdtemp(join(tmpdir(), 'drvs-sim-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const day = (...words: string[]) => runCommand(['sim', 'day', '--nodes', '6', '--hours', '2', ...words], {});

describe('a simulated day', () => {
  test('needs no cluster, and is the same for the same seed', async () => {
    const [first, second] = await Promise.all([day('--seed', '7', '--json'), day('--seed', '7', '--json')]);
    expect(first.code).toBe(0);
    expect(first.stdout.equals(second.stdout)).toBe(true);
    const report = JSON.parse(first.stdout.toString('utf8'));
    expect(report).toMatchObject({ seed: 7, nodes: 6, virtualSeconds: 7200, violations: [] });
    expect(report.contenders.map(({ name }: { name: string }) => name)).toContain('planned');
  });

  test('is shown as a table, one line for each contender', async () => {
    const { stdout } = await day();
    expect(stdout.toString('utf8')).toMatch(/^POLICY +USED +KWH/m);
    expect(stdout.toString('utf8')).toMatch(/^best-fit-shares +\d/m);
  });

  test('takes a policy from a file, and says what is wrong with it', async () => {
    const policy = join(folder, 'policy.json');
    await writeFile(policy, '{"power": {"headroomKept": 0.2}}');
    expect((await day('--policy', policy)).code).toBe(0);
    await writeFile(policy, '{"coldUtilisation": 0.9}');
    expect(await day('--policy', policy)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('the policy contradicts itself'),
    });
    await writeFile(policy, '{');
    expect((await day('--policy', policy)).stderr).toContain('is not JSON');
    expect((await day('--policy', join(folder, 'none'))).stderr).toContain('cannot be read');
  });

  test('refuses amounts that are none', async () => {
    expect((await day('--nodes', '-5')).code).toBe(2);
    expect((await day('--seed', '1.5')).code).toBe(2);
    expect((await day('--nodes', '0')).stderr).toContain('nodes is a whole number from 1 to 20000');
  });
});
