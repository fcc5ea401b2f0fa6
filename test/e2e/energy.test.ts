import type {
  ClusterPlanView,
  EnergyReportView,
  EventView,
  NodePowerView,
  NodeView,
  PlanOutcome,
} from '@drvs/contracts';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually, type Stack, startStack } from '../support/stack.js';

const WITHIN_MS = 120_000;

describe('the power of six local nodes', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack('--no-demo', '--nodes', '6', '--no-portal');
  }, 300_000);
  afterAll(async () => {
    await stack?.stop();
  }, 90_000);

  const nodes = async () =>
    new Map((await stack.json<NodeView[]>('node', 'list')).map(({ name, state }) => [name, state]));
  const part = async (name: string) => (await stack.parts()).find((each) => each.name === name);
  const isAlive = (pid: number): boolean => {
    try {
      process.kill(pid, 0);
      return true;
    } catch {
      return false;
    }
  };

  it('is switched by the supervisor: the process of a drained node is gone, and comes back', async () => {
    const before = await part('node6');
    const refused = await stack.drvs('node', 'power', 'off', 'node6');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('only a drained node is switched off');
    expect((await stack.drvs('node', 'drain', 'node6')).code).toBe(0);
    expect((await stack.drvs('node', 'power', 'node6', 'off')).code).toBe(0);
    expect(isAlive(before!.pid!)).toBe(false);
    expect((await nodes()).get('node6')).toBe('off');
    expect(await part('node6')).toMatchObject({ state: 'off', pid: null });
    expect(await stack.json<NodePowerView>('node', 'power', 'status', 'node6')).toMatchObject({
      state: 'off',
      driver: 'local',
    });
    // The stack as a whole is well: it is as it is wanted.
    expect((await stack.drvs('status', '--data', stack.data)).code).toBe(0);

    expect((await stack.drvs('node', 'power', 'on', 'node6', '--open')).code).toBe(0);
    expect((await nodes()).get('node6')).toBe('up');
    expect((await part('node6'))!.pid).not.toBe(before!.pid);
  }, 240_000);

  it('is saved by a consolidation that switches empty nodes off, and told in the report', async () => {
    // Four of six are to stay; no node needs to have been idle for long.
    const { status } = await stack.rest('PATCH', 'planner', {
      policy: { coldHoldSeconds: 0, coolDownSeconds: 0, power: { nodesMin: 4 } },
    });
    expect(status).toBe(200);
    const plan = await eventually(
      'a plan that switches two nodes off',
      async () => {
        const made = await stack.json<ClusterPlanView & { result?: PlanOutcome }>(
          'plan',
          'consolidate',
          '--apply',
        );
        return made.steps.some(({ action }) => action === 'power-off') && made;
      },
      WITHIN_MS,
    );
    const off = plan.steps.flatMap((step) => (step.action === 'power-off' ? [step.node] : []));
    expect(off).toHaveLength(2);
    await eventually(
      'both are off',
      async () => {
        const states = await nodes();
        return off.every((name) => states.get(name) === 'off');
      },
      WITHIN_MS,
    );
    for (const name of off) expect(await part(name)).toMatchObject({ state: 'off', pid: null });
    const report = await eventually(
      'something is saved',
      async () => {
        const made = await stack.json<EnergyReportView>('energy');
        return made.month.savedKWh > 0 && made;
      },
      WITHIN_MS,
    );
    expect(report.now).toMatchObject({ nodesOn: 4, nodesOff: 2 });
    const told = await stack.json<EventView[]>('events');
    expect(told.filter(({ kind }) => kind === 'node.powered-off').length).toBeGreaterThanOrEqual(2);
  }, 300_000);
});
