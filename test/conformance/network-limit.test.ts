import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { Drvm } from './drvm.js';
import { underNode, walker } from './programs.js';

const MIB = 1_048_576;
/** 8 Mbit/s, in bytes. */
const BYTES_PER_SECOND = 1_000_000;
/** What may leave at once, and one frame beyond it. */
const AT_ONCE_BYTES = BYTES_PER_SECOND / 10 + 128 * 1024;

const DATA = Buffer.alloc(16 * MIB);
for (let at = 0, x = 7; at < DATA.length; at += 4) {
  x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0;
  DATA.writeUInt32LE(x, at);
}

describe('the rate at which a container may send to its peers', () => {
  let drvm: Drvm;

  beforeAll(async () => {
    drvm = await Drvm.start({ nodes: 2 });
    await drvm.upload('/small', DATA.subarray(0, 2 * MIB));
    for (let offset = 0; offset < DATA.length; offset += MIB) {
      await drvm.call(
        'file.write',
        { path: '/large', offset, mode: 0o644 },
        { body: DATA.subarray(offset, offset + MIB) },
      );
    }
  }, 60_000);

  afterEach(async () => {
    for (const index of [0, 1]) await drvm.limit(index, { networkMbps: 0 });
    expect(drvm.events.filter(({ kind }) => kind === 'peer.lost')).toEqual([]);
  });

  afterAll(async () => drvm?.stop());

  const network = (at: number) => drvm.containers[at]!.status().network;

  /** All of a file, by way of another container: home sends it there. */
  const fileAt = async (path: string, at: number): Promise<Buffer> => {
    const { size } = await drvm.call('file.stat', { path }, { at });
    const parts: Buffer[] = [];
    for (let offset = 0; offset < size; offset += MIB) parts.push(await drvm.read(path, at, offset));
    return Buffer.concat(parts);
  };

  test('a file leaves no faster than the limit says, whole, and the container tells that it was held', async () => {
    const before = network(0);
    const peer = network(1);
    expect(before.heldTimes).toBe(0);
    await drvm.limit(0, { networkMbps: 8 });
    const began = performance.now();
    const bytes = await fileAt('/small', 1);
    const ms = performance.now() - began;
    expect(bytes.equals(DATA.subarray(0, 2 * MIB))).toBe(true);
    expect(ms).toBeGreaterThanOrEqual(1_000);
    const after = network(0);
    expect(after.sentBytes - before.sentBytes).toBeGreaterThanOrEqual(2 * MIB);
    expect(after.sentBytes - before.sentBytes).toBeLessThanOrEqual(
      (BYTES_PER_SECOND * (performance.now() - began)) / 1_000 + AT_ONCE_BYTES,
    );
    expect(after.heldMs).toBeGreaterThan(500);
    expect(network(1).heldTimes).toBe(0);
    // What the one has sent the other has received.
    expect(network(1).receivedBytes - peer.receivedBytes).toBeGreaterThanOrEqual(2 * MIB);
    expect(network(1).receivedBytes).toBeLessThanOrEqual(network(0).sentBytes);
  }, 60_000);

  test('it goes on at once when the limit is raised, and calls are answered while it is held', async () => {
    await drvm.limit(0, { networkMbps: 1 });
    // Two minutes and more at this rate: more than the test has.
    let isWhole = false;
    const whole = fileAt('/large', 1).then((bytes) => {
      isWhole = true;
      return bytes;
    });
    const { heldMs } = network(0);
    await drvm.until(() => network(0).heldMs > heldMs + 500);
    expect(drvm.containers.map((container) => container.status().state)).toEqual(['running', 'running']);
    expect(await drvm.call('process.list', {})).toEqual([]);
    expect(isWhole).toBe(false);
    await drvm.limit(0, { networkMbps: 10_000 });
    expect((await whole).equals(DATA)).toBe(true);
  }, 60_000);

  test('a process moves no faster either, and comes to no harm', async () => {
    const program = walker({ mib: 2, lines: 300, rounds: 200, sleepMs: 20 });
    const expected = await underNode(program);
    await drvm.upload('/bin/walker', program);
    const { pid } = await drvm.call('process.start', { program: '/bin/walker', node: 'node1' });
    const output = drvm.outputOf(pid);
    await drvm.until(
      async () => (await drvm.call('process.output', { pid, offset: 0, follow: false })).nextOffset > 0,
    );
    await drvm.limit(0, { networkMbps: 8 });
    const before = network(0);
    const began = performance.now();
    await drvm.call('process.migrate', { pid, to: 'node2', requestKey: 'slowly' });
    const ms = performance.now() - began;
    const sent = network(0).sentBytes - before.sentBytes;
    expect(sent).toBeGreaterThan(2 * MIB);
    expect(ms).toBeGreaterThanOrEqual(1_000);
    expect(sent).toBeLessThanOrEqual(
      (BYTES_PER_SECOND * (performance.now() - began)) / 1_000 + AT_ONCE_BYTES,
    );
    await drvm.limit(0, { networkMbps: 0 });
    const { stdout, exit } = await output;
    expect(exit).toMatchObject({ exitCode: 0 });
    expect(stdout).toBe(expected);
  }, 60_000);
});
