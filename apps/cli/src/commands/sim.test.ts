import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
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

  test('takes its load from a trace, packed or not, and names the line that is malformed', async () => {
    const lines = Array.from(
      { length: 40 },
      (_, n) => `vm${n}==,s,d,${n * 60},${n * 60 + 3600},90,${n + 5},80,Unknown,2,4`,
    );
    const plain = join(folder, 'vmtable.csv');
    await writeFile(plain, `${lines.join('\n')}\n`);
    await writeFile(`${plain}.gz`, gzipSync(lines.join('\r\n')));
    const [one, other] = [
      await day('--trace', plain, '--json'),
      await day('--trace', `${plain}.gz`, '--json'),
    ];
    expect(one).toMatchObject({ code: 0, stderr: '' });
    expect(other.stdout.equals(one.stdout)).toBe(true);
    expect(JSON.parse(one.stdout.toString('utf8'))).toMatchObject({
      drvms: { residents: 0, batches: 40 },
      trace: { format: 'azure-vmtable', lines: 40, unused: 0 },
      violations: [],
    });
    await writeFile(plain, `${lines[0]}\nvm,s,d,0,soon,1,1,1,c,1,1\n`);
    expect(await day('--trace', plain)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('line 2 of the trace: vmdeleted is "soon"'),
    });
    expect((await day('--trace', join(folder, 'none.csv'))).stderr).toContain('cannot be read');
    await writeFile(`${plain}.gz`, 'not packed');
    expect((await day('--trace', `${plain}.gz`)).stderr).toContain('cannot be read');
    expect(await day('--trace', plain, '--trace-format', 'slurm')).toMatchObject({ code: 2 });
    expect(await day('--trace', plain, '--trace-share', '2')).toMatchObject({ code: 2 });
  });

  test('refuses amounts that are none', async () => {
    expect((await day('--nodes', '-5')).code).toBe(2);
    expect((await day('--seed', '1.5')).code).toBe(2);
    expect((await day('--nodes', '0')).stderr).toContain('nodes is a whole number from 1 to 20000');
  });
});
