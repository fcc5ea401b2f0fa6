import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type ProcessDrvm, startDrvm } from '../bench/support/drvm.mjs';
import { underNode, walker } from './programs.js';

/** A process of 24 MiB: its migration takes long enough to be hit in the middle. */
const LARGE = walker({ mib: 24, lines: 100, rounds: 20_000, sleepMs: 15 });

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('when containers are killed', () => {
  let drvm: ProcessDrvm;
  let expected: string;

  beforeAll(async () => {
    expected = await underNode(LARGE);
    drvm = await startDrvm({ nodes: 3 });
    await drvm.call('file.write', { path: '/bin/large', parents: true, mode: 0o755 }, { body: LARGE });
  }, 60_000);

  afterAll(async () => drvm?.stop());

  const startLarge = async (node: string): Promise<number> => {
    const { pid } = await drvm.call('process.start', { program: '/bin/large', node });
    while ((await outputOf(pid)) === '') await pause(20);
    return pid;
  };

  const outputOf = async (pid: number): Promise<string> => {
    const parts: Buffer[] = [];
    await drvm.call('process.output', { pid }, { onChunk: (_params, body) => parts.push(body) });
    return Buffer.concat(parts).toString();
  };

  const isUp = async (): Promise<boolean> => (await drvm.call('container.status', {})).state === 'running';

  const bringBack = async (index: number): Promise<void> => {
    await drvm.startContainer(index);
    while (!(await isUp())) await pause(20);
  };

  /** It ran to its end with all its output, or was told dead with its node and said nothing that it should not. */
  const expectWholeOrTold = async (pid: number): Promise<'whole' | 'told'> => {
    const exit = await drvm.call('process.wait', { pid });
    const output = await outputOf(pid);
    expect((await drvm.call('process.list', {})).some((row) => row.pid === pid)).toBe(false);
    if (exit.exitCode === 0) {
      expect(output).toBe(expected);
      return 'whole';
    }
    expect(exit).toMatchObject({ exitCode: 137, reason: expect.stringMatching(/node lost/) });
    expect(expected.startsWith(output)).toBe(true);
    return 'told';
  };

  /** Kills container `index` `ms` after the start of a migration from node2 to node3. */
  const killDuring = async (index: number, ms: number) => {
    const pid = await startLarge('node2');
    const moving = drvm.call('process.migrate', { pid, to: 'node3', requestKey: `kill-${index}-${ms}` }).then(
      () => 'moved' as const,
      (error: { code: string }) => error.code,
    );
    await pause(ms);
    await drvm.kill(index);
    try {
      return { migration: await moving, end: await expectWholeOrTold(pid) };
    } finally {
      await bringBack(index);
    }
  };

  test.each([5, 60, 200])(
    'the target dies %i ms into a migration: the process goes on at the source, unless it had arrived',
    async (ms) => {
      const { migration, end } = await killDuring(2, ms);
      // Refused at once when the loss was known already.
      if (migration !== 'moved') expect(['MigrationFailed', 'NodeUnreachable']).toContain(migration);
      if (end === 'told') expect(['moved', 'MigrationFailed']).toContain(migration);
    },
    60_000,
  );

  test.each([5, 60, 200])(
    'the source dies %i ms into a migration: the process is at the target, or told dead',
    async (ms) => {
      const { migration, end } = await killDuring(1, ms);
      if (migration === 'moved') expect(end).toBe('whole');
      else expect(end).toBe('told');
    },
    60_000,
  );

  test('a node dies: its processes end with the reason, those of other nodes go on', async () => {
    const lost = await startLarge('node3');
    const kept = await startLarge('node2');
    await drvm.kill(2);
    expect(await drvm.call('process.wait', { pid: lost })).toEqual({
      exitCode: 137,
      signal: 'SIGKILL',
      reason: expect.stringMatching(/node lost: node3/),
    });
    expect(await drvm.call('process.wait', { pid: kept })).toMatchObject({ exitCode: 0 });
    expect(await outputOf(kept)).toBe(expected);
    await expect(drvm.call('process.start', { program: '/bin/large', node: 'node3' })).rejects.toMatchObject({
      code: 'ContainerUnreachable',
    });
    await bringBack(2);
    const again = await startLarge('node3');
    expect(await drvm.call('process.wait', { pid: again })).toMatchObject({ exitCode: 0 });
  }, 60_000);

  test('home dies: all processes are told dead, files, output and pids are not forgotten', async () => {
    const pid = await startLarge('node2');
    await drvm.kill(0);
    await bringBack(0);
    expect(await drvm.call('process.wait', { pid })).toMatchObject({
      exitCode: 137,
      reason: expect.stringMatching(/restarted/),
    });
    expect(expected.startsWith(await outputOf(pid))).toBe(true);
    while ((await drvm.call('container.status', {}, { at: 1 })).processes > 0) await pause(20);
    const next = await startLarge('node2');
    expect(next).toBeGreaterThan(pid);
    expect(await drvm.call('process.wait', { pid: next })).toMatchObject({ exitCode: 0 });
    expect(await outputOf(next)).toBe(expected);
    expect(drvm.events.some(({ kind }) => kind === 'system.restarted')).toBe(true);
  }, 60_000);
});
