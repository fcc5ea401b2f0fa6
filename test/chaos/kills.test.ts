import { readFile } from 'node:fs/promises';
import type { AllocationView, DrvmView, NodeDetailView, OperationView, ProcessRow } from '@drvs/contracts';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually, type Stack, startStack } from '../support/stack.js';

const ENDED = ['succeeded', 'failed', 'cancelled', 'compensated'];

/**
 * Any process is killed at any instant. Afterwards each operation is done or rolled back, resources are neither lost
 * nor double, and another DRVM (the witness) never noticed.
 */
describe('kill -9 in the middle of a creation and of a migration', () => {
  let stack: Stack;
  let witness: { pid: number };
  let witnessContainers: Map<string, number>;

  beforeAll(async () => {
    stack = await startStack('--no-demo');
    await stack.json('tenant', 'create', 'fisica');
    await create('testigo');
    await create('banco');
    witness = await stack.json('run', 'testigo', '--detach', '/bin/primes');
    witnessContainers = await containers('testigo');
  }, 300_000);
  afterAll(async () => {
    await stack?.stop();
  }, 60_000);

  const create = (name: string, ...more: string[]) =>
    stack.json<DrvmView>(
      ...['drvm', 'create', name, '--tenant', 'fisica', '--cpu', '0.3', '--memory', '600Mi', '--disk', '3Gi'],
      ...['--nodes', '3', ...more],
    );
  const operation = async (id: string) => (await stack.rest<OperationView>('GET', `operations/${id}`)).body;
  const ended = (id: string) =>
    eventually(
      `operation ${id} ends`,
      async () => {
        const now = await operation(id);
        return ENDED.includes(now.state) && now;
      },
      90_000,
    );
  const drvms = () => stack.json<DrvmView[]>('drvm', 'list');
  const running = (name: string) =>
    eventually(
      `${name} runs`,
      async () => (await drvms()).find((drvm) => drvm.name === name && drvm.state === 'running'),
      60_000,
    );
  const pidOf = async (part: string) => {
    const found = (await stack.parts()).find((each) => each.name === part);
    if (!found?.pid) throw new Error(`${part} has no pid`);
    return found.pid;
  };

  /** Node name → operating-system pid of a DRVM's container, read from the host's process list. */
  async function containers(name: string): Promise<Map<string, number>> {
    const drvm = (await drvms()).find((each) => each.name === name);
    const { execFileSync } = await import('node:child_process');
    const lines = execFileSync('ps', ['-eo', 'pid=,args='], { encoding: 'utf8' }).split('\n');
    const found = new Map<string, number>();
    for (const line of lines) {
      if (!line.includes('container/main.js') || !line.includes(drvm!.id)) continue;
      const pid = Number(line.trim().split(' ')[0]);
      const command = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
      // The one that is the container itself, not what started it.
      if (!command[0]?.includes('node')) continue;
      for (const node of ['node1', 'node2', 'node3']) if (line.includes(`/${node}/`)) found.set(node, pid);
    }
    return found;
  }

  /** The ledger adds up: every allocation belongs to a DRVM that there is, and no node gave more than it has. */
  async function expectSoundLedger(): Promise<void> {
    const known = new Set((await drvms()).map((drvm) => drvm.id));
    const allocations = (await stack.rest<{ items: AllocationView[] }>('GET', 'allocations?limit=500')).body
      .items;
    expect(allocations.filter((each) => !known.has(each.drvmId))).toEqual([]);
    expect(new Set(allocations.map((each) => `${each.drvmId}/${each.node}`)).size).toBe(allocations.length);
    for (const name of ['node1', 'node2', 'node3']) {
      const node = await stack.json<NodeDetailView>('node', 'show', name);
      const given = node.allocations.reduce((sum, each) => sum + each.memoryMiB, 0);
      expect(given).toBeLessThanOrEqual(node.capacity.memoryMiB);
    }
  }

  async function expectUndisturbedWitness(): Promise<void> {
    expect(await containers('testigo')).toEqual(witnessContainers);
    const rows = await stack.json<ProcessRow[]>('ps', 'testigo');
    expect(rows.map((row) => row.pid)).toContain(witness.pid);
    const before = (await stack.drvs('logs', 'testigo', String(witness.pid))).stdout;
    await eventually('the witness prints on', async () => {
      const now = (await stack.drvs('logs', 'testigo', String(witness.pid))).stdout;
      return now.length > before.length && now.startsWith(before);
    });
  }

  it.each([
    ['the API', 'api', 'nueva'],
    ['an agent', 'node2', 'otra'],
  ])(
    'of %s while a DRVM is created: the operation ends, the DRVM is whole or not there',
    async (_, victim, name) => {
      const request = { name, tenant: 'fisica', dvos: 'mol', cpu: 0.2, memoryMiB: 600, diskGiB: 3, nodes: 3 };
      const { operation } = (await stack.rest<{ operation: OperationView }>('POST', 'drvms', request)).body;
      process.kill(await pidOf(victim), 'SIGKILL');
      const end = await ended(operation.id);
      const there = (await drvms()).find((drvm) => drvm.name === name);
      if (end.state === 'succeeded') await running(name);
      else expect(there).toBeUndefined();
      await expectSoundLedger();
      await expectUndisturbedWitness();
      if (there) expect((await stack.drvs('drvm', 'delete', name, '--yes')).code).toBe(0);
    },
    180_000,
  );

  describe('while a process migrates', () => {
    const others = ['node1', 'node2', 'node3'];

    async function aProcess(node: string): Promise<number> {
      const { pid } = await stack.json<{ pid: number }>(
        'run',
        'banco',
        '--detach',
        '--node',
        node,
        '/bin/primes',
      );
      await eventually(
        'it prints',
        async () => (await stack.drvs('logs', 'banco', String(pid))).stdout.length > 0,
      );
      return pid;
    }
    const migrate = async (pid: number, to: string) =>
      (await stack.rest<OperationView>('POST', `drvms/banco/processes/${pid}/migrate`, { to })).body.id;

    it('of the API: the process runs on one node, and only there', async () => {
      const pid = await aProcess('node2');
      const id = await migrate(pid, 'node3');
      process.kill(await pidOf('api'), 'SIGKILL');
      const end = await ended(id);
      const row = (await stack.json<ProcessRow[]>('ps', 'banco')).find((each) => each.pid === pid);
      expect(row?.node).toBe(end.state === 'succeeded' ? 'node3' : 'node2');
      await expectUndisturbedWitness();
      await stack.json('kill', 'banco', String(pid), 'SIGKILL');
    }, 180_000);

    it.each(others)(
      'of the agent of %s: the same',
      async (victim) => {
        const pid = await aProcess('node2');
        const id = await migrate(pid, 'node3');
        process.kill(await pidOf(victim), 'SIGKILL');
        const end = await ended(id);
        const row = await eventually('ps answers', async () =>
          (await stack.json<ProcessRow[]>('ps', 'banco')).find((each) => each.pid === pid),
        );
        expect(row.node).toBe(end.state === 'succeeded' ? 'node3' : 'node2');
        await expectUndisturbedWitness();
        await stack.json('kill', 'banco', String(pid), 'SIGKILL');
      },
      180_000,
    );

    it('of the target container: the process goes on where it was, or ended with its new node', async () => {
      const pid = await aProcess('node2');
      const target = (await containers('banco')).get('node3')!;
      const id = await migrate(pid, 'node3');
      process.kill(target, 'SIGKILL');
      const end = await ended(id);
      await running('banco');
      const row = (await stack.json<ProcessRow[]>('ps', 'banco')).find((each) => each.pid === pid);
      if (end.state === 'succeeded') expect(row).toBeUndefined();
      else expect(row?.node).toBe('node2');
      await expectSoundLedger();
      await expectUndisturbedWitness();
      if (row) await stack.json('kill', 'banco', String(pid), 'SIGKILL');
    }, 180_000);

    it('of the source container: the process ended with its node, or goes on at the target', async () => {
      const pid = await aProcess('node2');
      const source = (await containers('banco')).get('node2')!;
      const id = await migrate(pid, 'node3');
      process.kill(source, 'SIGKILL');
      const end = await ended(id);
      await running('banco');
      const row = (await stack.json<ProcessRow[]>('ps', 'banco')).find((each) => each.pid === pid);
      if (end.state === 'succeeded') expect(row?.node).toBe('node3');
      else expect(row).toBeUndefined();
      await expectSoundLedger();
      await expectUndisturbedWitness();
    }, 180_000);

    it('of the home container: the DRVM comes back with its files', async () => {
      const home = (await containers('banco')).get(
        (await drvms()).find((drvm) => drvm.name === 'banco')!.nodes.find((slice) => slice.index === 0)!.node,
      )!;
      process.kill(home, 'SIGKILL');
      await eventually('it noticed', async () => (await containers('banco')).size === 3, 60_000);
      await running('banco');
      const { pid } = await eventually('programs run again', () =>
        stack.json<{ pid: number }>('run', 'banco', '--detach', '/bin/primes', '50'),
      );
      await eventually(
        'and print',
        async () => (await stack.drvs('logs', 'banco', String(pid))).stdout.length > 0,
      );
      await expectSoundLedger();
      await expectUndisturbedWitness();
    }, 180_000);
  });
});
