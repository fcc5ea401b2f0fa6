import type { ClusterPlanView, NodeView, PlanOutcome, ProcessRow } from '@drvs/contracts';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually, type Stack, startStack } from '../support/stack.js';

/** Some ten seconds of computing for a machine like CI's, alone. */
const LIMIT = 400_000_000;
const STEP = 40_000_000;

describe('plans over a running cluster', () => {
  let stack: Stack;
  let pids: number[] = [];
  beforeAll(async () => {
    stack = await startStack('--no-demo');
    await stack.json('tenant', 'create', 'fisica');
    await stack.json(
      ...[
        'drvm',
        'create',
        'reactor',
        '--tenant',
        'fisica',
        '--cpu',
        '0.9',
        '--memory',
        '768Mi',
        '--nodes',
        '3',
      ],
    );
  }, 300_000);
  afterAll(async () => {
    await stack?.stop();
  }, 60_000);

  const start = async (...more: string[]) =>
    stack.json<{ pid: number; node: string }>(
      ...['run', 'reactor', '--detach', ...more, '/bin/primes', String(LIMIT), String(STEP)],
    );
  const places = async () => {
    const rows = await stack.json<ProcessRow[]>('ps', 'reactor');
    return new Map(rows.map(({ pid, node }) => [pid, node]));
  };

  it('a balance moves one of two programs that compete on a node, and says why', async () => {
    // Not the home: its servers need the CPU too.
    pids = [await start('--node', 'node2'), await start('--node', 'node2')].map(({ pid }) => pid);
    await eventually('both compute', async () =>
      (await stack.json<ProcessRow[]>('ps', 'reactor')).every(({ cpuMs }) => cpuMs > 0),
    );
    const dry = await stack.drvs('plan', 'balance');
    expect(dry).toMatchObject({ code: 0 });
    expect(dry.stdout).toMatch(/move .*reactor\/\d+ .*primes.* node2 -> node[13] .* processes fewer wait/);
    expect(dry.stdout).toMatch(/Nothing has been done/);
    expect([...(await places()).values()]).toEqual(['node2', 'node2']);

    const applied = await stack.json<ClusterPlanView & { result: PlanOutcome }>('plan', 'balance', '--apply');
    expect(applied.steps).toHaveLength(1);
    expect(applied.result.moved).toEqual([
      expect.objectContaining({ drvm: 'reactor', from: 'node2', pid: expect.any(Number) }),
    ]);
    const after = await places();
    expect(new Set(pids.map((pid) => after.get(pid))).size).toBe(2);
  }, 60_000);

  it('a drain moves all that a DRVM holds off a node, nothing new comes to it, and a restore brings it back', async () => {
    // One of its own, since those that compute may be done by now.
    const waits = await stack.json<{ pid: number }>(
      ...['run', 'reactor', '--detach', '--node', 'node2', '/bin/where', '600'],
    );
    const drained = await stack.json<PlanOutcome>('node', 'drain', 'node2');
    expect(drained.slices).toEqual([expect.objectContaining({ drvm: 'reactor', from: 'node2' })]);
    expect(drained.slices[0]!.processes).toBeGreaterThanOrEqual(1);
    expect((await places()).get(waits.pid)).not.toBe('node2');
    await stack.drvs('kill', 'reactor', String(waits.pid));
    expect(drained.stays).toEqual([]);
    expect([...(await places()).values()]).not.toContain('node2');
    expect((await stack.json<NodeView>('node', 'show', 'node2')).state).toBe('drained');

    const refused = await stack.drvs('run', 'reactor', '--node', 'node2', '/bin/hello');
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('node2') });
    const hello = await stack.drvs('run', 'reactor', '/bin/hello');
    expect(hello.stdout).toMatch(/on node[13]\./);
    const placed = await stack.json<{
      steps: { node: string }[];
      rejected: { what: string; reason: string }[];
    }>(
      ...['drvm', 'create', 'otra', '--tenant', 'fisica', '--cpu', '0.1', '--memory', '512Mi'],
      ...['--nodes', '2', '--dry-run'],
    );
    expect(placed.steps.map(({ node }) => node).sort()).toEqual(['node1', 'node3']);
    expect(placed.rejected).toEqual([
      { what: 'node2', reason: expect.stringMatching(/drained and takes nothing new/) },
    ]);

    const restored = await stack.json<PlanOutcome>('node', 'restore', 'node2');
    expect(restored.slices).toEqual([expect.objectContaining({ drvm: 'reactor', to: 'node2' })]);
    expect((await stack.json<NodeView>('node', 'show', 'node2')).state).toBe('up');
    expect((await stack.drvs('run', 'reactor', '--node', 'node2', '/bin/hello')).stdout).toMatch(
      /on node2\./,
    );
  }, 120_000);

  it('a list of nodes is maintained one after another, and one whose work fails stays drained', async () => {
    const words = ['node', 'maintain', 'node2', 'node3', '--rolling'];
    const done = await stack.drvs('--json', ...words, '--run', 'echo "at $DRVS_NODE"');
    expect(done).toMatchObject({ code: 0, stderr: expect.stringMatching(/at node2\n[\s\S]*at node3\n/) });
    expect(JSON.parse(done.stdout)).toMatchObject([
      { node: 'node2', state: 'done', drained: { kind: 'drain' }, restored: { kind: 'restore' } },
      { node: 'node3', state: 'done' },
    ]);
    const failed = await stack.drvs(...words, '--run', 'exit 3');
    expect(failed).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('the work on node2 failed: the command ended with 3'),
    });
    const states = async () => (await stack.json<NodeView[]>('node', 'list')).map(({ state }) => state);
    expect(await states()).toEqual(['up', 'drained', 'up']);
    await stack.json('node', 'restore', 'node2');
    expect(await states()).toEqual(['up', 'up', 'up']);
  }, 180_000);

  it('several DRVMs come at once, and are kept apart from then on', async () => {
    const made = await stack.json<{ name: string; state: string; nodes: string[] }[]>(
      ...['drvm', 'create', 'alumno', '--tenant', 'fisica', '--cpu', '0.05', '--memory', '192Mi'],
      ...['--nodes', 'node2', '--count', '2'],
    );
    expect(made).toMatchObject([
      { name: 'alumno-1', state: 'succeeded', nodes: ['node2'] },
      { name: 'alumno-2', state: 'succeeded', nodes: ['node2'] },
    ]);
    const rules = await stack.drvs('drvm', 'rules', 'alumno-2', 'anti-affinity=alumno-1');
    expect(rules).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/node2 +not-apart +alumno-1 is there too/),
    });
    expect((await stack.drvs('plan', 'balance')).stdout).toContain('breaks a rule on node2');
    await stack.json('plan', 'balance', '--apply');
    expect(await stack.json('drvm', 'rules', 'alumno-2')).toMatchObject({
      antiAffinity: ['alumno-1'],
      broken: [],
    });
    for (const { name } of made) await stack.json('drvm', 'delete', name, '--yes');
  }, 180_000);

  it('what was moved about prints exactly what one prints that stays where it is', async () => {
    const outputs = await Promise.all(
      pids.map(async (pid) => (await stack.drvs('logs', 'reactor', String(pid), '--follow')).stdout),
    );
    const stayed = await stack.drvs('run', 'reactor', '/bin/primes', String(LIMIT), String(STEP));
    expect(stayed).toMatchObject({ code: 0 });
    expect(stayed.stdout.split('\n')).toHaveLength(LIMIT / STEP + 2);
    for (const output of outputs) expect(output).toBe(stayed.stdout);
  }, 240_000);
});
