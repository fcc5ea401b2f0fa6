import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type ProcessDrvm, startDrvm } from '../bench/support/drvm.mjs';
import { underNode, walker } from './programs.js';

/** A process of 24 MiB: its migration takes long enough to be hit in the middle. */
const LARGE = walker({ mib: 24, lines: 60, rounds: 50_000 });

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

  test.each([5, 30, 80])(
    'the target dies %i ms into a migration: the process goes on at the source',
    async (ms) => {
      const pid = await startLarge('node2');
      const moving = drvm.call('process.migrate', { pid, to: 'node3', requestKey: `target-${ms}` }).then(
        (result) => ({ result, error: null }),
        (error: { code: string; message: string }) => ({ result: null, error }),
      );
      await pause(ms);
      await drvm.kill(2);
      const { result, error } = await moving;
      const exit = await drvm.call('process.wait', { pid });
      if (result === null && /stays|not migrated/.test(error?.message ?? '')) {
        expect(error).toMatchObject({ code: 'MigrationFailed' });
        expect(exit).toMatchObject({ exitCode: 0 });
        expect(await outputOf(pid)).toBe(expected);
      } else {
        // It had arrived when its node died, and died with it.
        expect(exit).toMatchObject({ exitCode: 137, reason: expect.stringMatching(/node lost/) });
        expect(expected.startsWith(await outputOf(pid))).toBe(true);
      }
      await bringBack(2);
    },
    60_000,
  );

  test.each([5, 30, 80])(
    'the source dies %i ms into a migration: the process is at the target, or told dead',
    async (ms) => {
      const pid = await startLarge('node2');
      const moving = drvm.call('process.migrate', { pid, to: 'node3', requestKey: `source-${ms}` }).then(
        (result) => result,
        (error: { code: string }) => error,
      );
      await pause(ms);
      await drvm.kill(1);
      const result = await moving;
      const exit = await drvm.call('process.wait', { pid });
      const output = await outputOf(pid);
      if ('pauseMs' in result) {
        expect(exit).toMatchObject({ exitCode: 0 });
        expect(output).toBe(expected);
      } else {
        expect(result).toMatchObject({ code: 'MigrationFailed' });
        expect(exit).toMatchObject({ exitCode: 137, reason: expect.stringMatching(/node lost/) });
        expect(expected.startsWith(output)).toBe(true);
      }
      expect((await drvm.call('process.list', {})).some((row) => row.pid === pid)).toBe(false);
      await bringBack(1);
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
