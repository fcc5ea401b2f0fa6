import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Drvm } from './drvm.js';
import { scribe, scribed } from './programs.js';

const LINES = 300;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('the home of a DRVM moves', () => {
  let drvm: Drvm;

  beforeAll(async () => {
    drvm = await Drvm.start({ nodes: 3 });
  }, 60_000);

  afterAll(async () => drvm?.stop());

  const startScribe = async (name: string, node: string): Promise<number> => {
    const program = scribe({ path: `out/${name}`, lines: LINES, sleepMs: 10 });
    await drvm.upload(`/bin/${name}`, program);
    return (await drvm.call('process.start', { program: `/bin/${name}`, node })).pid;
  };

  const contentOf = async (path: string, at: number): Promise<string> =>
    (await drvm.read(path, at)).toString();

  test('from node to node and back under programs that write and print: nothing is lost, nothing comes twice', async () => {
    await drvm.call('file.makeDirectory', { path: '/out', parents: true });
    const pids = [
      await startScribe('one', 'node1'),
      await startScribe('two', 'node2'),
      await startScribe('three', 'node3'),
    ];
    const outputs = pids.map((pid, at) => drvm.outputOf(pid, at));
    const waits = pids.map((pid, index) => drvm.call('process.wait', { pid }, { at: (index + 1) % 3 }));
    for (const [round, to] of [2, 1, 0, 2].entries()) {
      await pause(200);
      const result = await drvm.call('home.move', { to, requestKey: `move-${round}` }, { at: round % 3 });
      expect(result).toMatchObject({ home: to, homeEpoch: round + 1 });
      const again = await drvm.call('home.move', { to, requestKey: `move-${round}` });
      expect(again).toEqual(result);
      for (const container of drvm.containers) {
        await drvm.until(() => container.status().home.epoch === round + 1);
        expect(container.status().home).toEqual({ index: to, epoch: round + 1 });
      }
      const rows = await drvm.call('process.list', {}, { at: 1 });
      expect(rows.map(({ pid }) => pid)).toEqual(pids);
    }
    for (const [index, output] of outputs.entries()) {
      const { stdout, exit } = await output;
      expect(stdout).toBe(scribed(LINES).repeat(2));
      expect(exit).toEqual({ exitCode: 0, signal: null, reason: null });
      expect(await waits[index]).toEqual(exit);
    }
    for (const [at, name] of ['one', 'two', 'three'].entries())
      expect(await contentOf(`/out/${name}`, at)).toBe(scribed(LINES));
    expect(drvm.events.filter(({ kind }) => kind === 'home.moved').length).toBe(4);
  }, 120_000);
});
