import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type ProcessDrvm, startDrvm } from '../bench/support/drvm.mjs';
import { scribe, scribed } from './programs.js';

const LINES = 150;
/** Copied in the first round: long enough for a kill to hit it. */
const DATA = Buffer.from(Array.from({ length: 4 * 1_048_576 }, (_, at) => (at * 31 + (at >> 9)) % 251));
const SHARE = 1_048_576;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`not in time: ${what}`);
    await pause(20);
  }
}

describe('containers are killed or stopped while home moves', () => {
  let drvm: ProcessDrvm;
  let moves = 0;

  beforeAll(async () => {
    drvm = await startDrvm({ nodes: 3 });
    // It is there before any kill: what a program has created in the last moments before one may be lost.
    await drvm.call('file.write', { path: '/out/lines', parents: true, mode: 0o644 });
    for (let offset = 0; offset < DATA.length; offset += SHARE) {
      await drvm.call(
        'file.write',
        { path: '/data', offset, mode: 0o644 },
        { body: DATA.subarray(offset, offset + SHARE) },
      );
    }
    const program = scribe({ path: 'out/lines', lines: LINES, sleepMs: 10 });
    await drvm.call('file.write', { path: '/bin/scribe', parents: true, mode: 0o755 }, { body: program });
  }, 60_000);

  afterAll(async () => drvm?.stop());

  const fileAt = async (path: string, at: number): Promise<Buffer> => {
    const parts: Buffer[] = [];
    for (let offset = 0, eof = false; !eof; offset += SHARE) {
      const onBody = (body: Buffer) => parts.push(body);
      ({ eof } = await drvm.call('file.read', { path, offset, length: SHARE }, { at, onBody }));
    }
    return Buffer.concat(parts);
  };

  const homes = () =>
    Promise.all([0, 1, 2].map(async (at) => (await drvm.call('container.status', {}, { at })).home));

  /** What an agent does: containers that have ended are started again. All know the same home then. */
  const settled = async (): Promise<{ index: number; epoch: number }> => {
    let home = { index: -1, epoch: -1 };
    await until('all containers know the same home and are whole', async () => {
      for (const index of [0, 1, 2]) if (!drvm.isAlive(index)) await drvm.startContainer(index);
      try {
        const states = await Promise.all([0, 1, 2].map((at) => drvm.call('container.status', {}, { at })));
        home = states[0]!.home;
        return states.every(
          ({ state, home: { index, epoch } }) =>
            state === 'running' && index === home.index && epoch === home.epoch,
        );
      } catch {
        return false;
      }
    });
    return home;
  };

  const startScribe = async (node: string): Promise<number> => {
    const { pid } = await drvm.call('process.start', { program: '/bin/scribe', node });
    await until('it writes', async () => (await drvm.call('process.output', { pid })).nextOffset > 70);
    return pid;
  };

  const outputOf = async (pid: number): Promise<string> => {
    const parts: Buffer[] = [];
    await drvm.call('process.output', { pid }, { at: 1, onChunk: (_params, body) => parts.push(body) });
    return Buffer.concat(parts).toString();
  };

  /** It ran to its end with all its output, or was told dead and said nothing that it should not have. */
  const expectWholeOrTold = async (pid: number): Promise<'whole' | 'told'> => {
    const exit = await drvm.call('process.wait', { pid }, { at: 2 });
    const output = await outputOf(pid);
    const lines = (await fileAt('/out/lines', 1)).toString();
    if (exit.exitCode === 0) {
      expect(output).toBe(scribed(LINES).repeat(2));
      expect(lines).toBe(scribed(LINES));
      return 'whole';
    }
    expect(exit).toMatchObject({ exitCode: 137, reason: expect.stringMatching(/node lost|restarted/) });
    expect(scribed(LINES).repeat(2).startsWith(output)).toBe(true);
    expect(scribed(LINES).startsWith(lines)).toBe(true);
    return 'told';
  };

  test.each(
    ['source', 'target'].flatMap((victim) =>
      [0, 20, 60, 120, 240].map((ms): [string, number] => [victim, ms]),
    ),
  )(
    'the %s is killed %i ms into a move: one home is left, with all files; programs are whole or told dead',
    async (victim, ms) => {
      const before = await settled();
      const to = (before.index + 1) % 3;
      const bystander = 3 - before.index - to;
      const pid = await startScribe(`node${bystander + 1}`);
      const moving = drvm.call('home.move', { to, requestKey: `loss-${++moves}` }, { at: bystander }).then(
        () => 'moved' as const,
        (error: { code: string }) => error.code,
      );
      await pause(ms);
      await drvm.kill(victim === 'source' ? before.index : to);
      const after = await settled();
      if (after.epoch === before.epoch) expect(after.index).toBe(before.index);
      else expect(after).toEqual({ index: to, epoch: before.epoch + 1 });
      expect((await fileAt('/data', after.index)).equals(DATA)).toBe(true);
      const end = await expectWholeOrTold(pid);
      const answer = await moving;
      if (answer === 'moved') expect(after.index).toBe(to);
      // A target that dies before it is home takes nothing along.
      if (victim === 'target' && after.index === before.index) expect(end).toBe('whole');
    },
    90_000,
  );

  /** The container that dies right after the step, and where home is then. */
  test.each([
    ['source', 'received', 'source'],
    ['source', 'copied', 'source'],
    ['source', 'frozen', 'source'],
    ['source', 'installed', 'source'],
    ['source', 'decided', 'target'],
    ['source', 'left', 'target'],
    ['target', 'prepared', 'source'],
    ['target', 'became', 'target'],
  ])(
    'the %s dies right after the step %s: home is at the %s',
    async (victim, step, where) => {
      const before = await settled();
      const to = (before.index + 1) % 3;
      const pid = await startScribe(`node${4 - before.index - to}`);
      drvm.dieAt(victim === 'source' ? before.index : to, step);
      const moving = drvm.call(
        'home.move',
        { to, requestKey: `step-${++moves}` },
        { at: 3 - before.index - to },
      );
      await moving.catch(() => undefined);
      const after = await settled();
      expect(after).toEqual(where === 'source' ? before : { index: to, epoch: before.epoch + 1 });
      expect((await fileAt('/data', after.index)).equals(DATA)).toBe(true);
      await expectWholeOrTold(pid);
    },
    90_000,
  );

  test('a target that stands still does not get home: all goes on where it was', async () => {
    const before = await settled();
    const to = (before.index + 1) % 3;
    const pid = await startScribe(`node${before.index + 1}`);
    drvm.signal(to, 'SIGSTOP');
    const moving = drvm.call('home.move', { to, requestKey: `still-${++moves}` }, { at: before.index }).then(
      () => 'moved',
      (error: Error) => error.message,
    );
    expect(await moving).toMatch(/home stays on/);
    drvm.signal(to, 'SIGCONT');
    expect(await settled()).toEqual(before);
    expect(await expectWholeOrTold(pid)).toBe('whole');
    expect(await homes()).toEqual([before, before, before]);
  }, 90_000);
});
