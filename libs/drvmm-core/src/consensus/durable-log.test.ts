import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { SeededRandom } from '../simulation/seeded-random.js';
import { VirtualDisk } from '../simulation/virtual-disk.js';
import { DurableLog, recoverLog } from './durable-log.js';
import { FileStorage } from './file-storage.js';
import { EntryKind, type LogEntry } from './log-entry.js';
import { LogCorrupt } from './log-record.js';
import { DEFAULT_RAFT_TIMING, type PersistBatch } from './raft.js';
import { Replica, type ReplicaEffect, type ReplicaEvent, type StateMachine } from './replica.js';

const GROUP = 7;
const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

const entry = (index: number, term = 1, text = `entry ${index}`): LogEntry => ({
  index,
  term,
  kind: EntryKind.Command,
  data: Buffer.from(text),
});
const batch = (sequence: number, more: Partial<PersistBatch>): PersistBatch => ({
  sequence,
  hardState: null,
  snapshot: null,
  truncateFrom: null,
  entries: [],
  ...more,
});

const freshDisk = (seed: number): VirtualDisk => new VirtualDisk(new SeededRandom(seed));
const recover = (disk: VirtualDisk) => {
  const recovered = recoverLog(GROUP, disk.files(), [1, 2, 3]);
  for (const operation of recovered.repairs) disk.perform(operation);
  return recovered;
};
/** Does what is asked, up to `operations` operations. */
function drain(log: DurableLog, disk: VirtualDisk, operations = Number.POSITIVE_INFINITY): number {
  let durable = 0;
  let left = operations;
  for (let next = log.next(); next !== null; next = log.next()) {
    for (const operation of next) {
      if (left-- <= 0) return durable;
      disk.perform(operation);
    }
    durable = log.completed();
  }
  return durable;
}

describe('the durable log', () => {
  it('gives back what was stored: votes, entries, truncations, snapshots', () => {
    const disk = freshDisk(1);
    const log = new DurableLog(GROUP, recover(disk));
    log.persist(batch(1, { hardState: { term: 3, votedFor: 2 }, entries: [entry(1), entry(2), entry(3)] }));
    log.persist(batch(2, { truncateFrom: 2, entries: [entry(2, 3, 'another')] }));
    expect(drain(log, disk)).toBe(2);
    expect(recover(disk).state).toMatchObject({
      term: 3,
      votedFor: 2,
      snapshot: { index: 0, configuration: { voters: [1, 2, 3] } },
      entries: [
        { index: 1, term: 1 },
        { index: 2, term: 3, data: Uint8Array.from(Buffer.from('another')) },
      ],
    });
    const snapshot = {
      index: 2,
      term: 3,
      configuration: { voters: [1], learners: [4] },
      data: Buffer.alloc(3_000_000, 5),
    };
    log.persist(batch(3, { hardState: { term: 4, votedFor: 0 }, snapshot, entries: [entry(3, 4)] }));
    expect(drain(log, disk)).toBe(3);
    const { state, number } = recover(disk);
    expect(number).toBe(2);
    expect(disk.files()).toHaveLength(1);
    expect(state).toMatchObject({ term: 4, snapshot: { index: 2, configuration: { learners: [4] } } });
    expect(Buffer.compare(state.snapshot.data, snapshot.data)).toBe(0);
    expect(state.entries).toHaveLength(1);
  });

  it('keeps all that it called durable through power cuts at any operation, and nothing half', () => {
    const batches = fc.array(
      fc.record({ count: fc.integer({ min: 0, max: 4 }), back: fc.nat(2), compacts: fc.boolean() }),
      {
        minLength: 1,
        maxLength: 12,
      },
    );
    fc.assert(
      fc.property(batches, fc.nat(40), fc.nat(), (plan, operations, seed) => {
        const disk = freshDisk(seed);
        const log = new DurableLog(GROUP, recover(disk));
        // What the log is after each sequence.
        const after: { term: number; texts: string[]; base: number }[] = [{ term: 0, texts: [], base: 0 }];
        let texts: string[] = [];
        let base = 0;
        plan.forEach(({ count, back, compacts }, at) => {
          const term = at + 1;
          const from = Math.max(base + 1, base + texts.length + 1 - back);
          texts = texts.slice(0, from - base - 1);
          const entries = Array.from({ length: count }, (_, i) =>
            entry(from + i, term, `${term}/${from + i}`),
          );
          texts.push(...entries.map(({ data }) => Buffer.from(data).toString()));
          if (compacts) {
            const index = base + Math.floor(texts.length / 2);
            texts = texts.slice(index - base);
            base = index;
            const rest = texts.map((text, i) => entry(base + 1 + i, Number(text.split('/')[0]), text));
            const snapshot = {
              index,
              term: 1,
              configuration: { voters: [1], learners: [] },
              data: Buffer.from(`${index}`),
            };
            log.persist(batch(term, { hardState: { term, votedFor: 1 }, snapshot, entries: rest }));
          } else {
            log.persist(batch(term, { hardState: { term, votedFor: 1 }, truncateFrom: from, entries }));
          }
          after.push({ term, texts: [...texts], base });
        });
        const durable = drain(log, disk, operations);
        disk.powerCut();
        const { state } = recover(disk);
        expect(state.term).toBeGreaterThanOrEqual(durable);
        const expected = after[state.term]!;
        expect(state.snapshot.index).toBe(expected.base);
        // Of the last batch the entries may be there in part, if it was not durable.
        const found = state.entries.map(({ data }) => Buffer.from(data).toString());
        if (state.term === durable) expect(found.slice(0, expected.texts.length)).toEqual(expected.texts);
      }),
      { numRuns: 150 },
    );
  });

  it('does not mistake lost data that had been durable for a torn end', () => {
    const disk = freshDisk(3);
    const log = new DurableLog(GROUP, recover(disk));
    for (let at = 1; at <= 4; at++) {
      log.persist(batch(at, { entries: [entry(at)] }));
      drain(log, disk);
    }
    const [file] = disk.files();
    const bytes = Buffer.from(file!.bytes);
    const at = bytes.indexOf('entry 2');
    bytes[at]! ^= 1;
    expect(() => recoverLog(GROUP, [{ name: file!.name, bytes }], [1])).toThrow(LogCorrupt);
  });

  it('waits for room on a full disk, and then goes on', () => {
    const disk = freshDisk(4);
    const log = new DurableLog(GROUP, recover(disk));
    drain(log, disk);
    log.persist(batch(1, { entries: [entry(1)] }));
    disk.isFull = true;
    const operations = log.next()!;
    expect(disk.perform(operations[0]!)).toBe(false);
    log.noRoom();
    expect(log.next()).toBeNull();
    disk.isFull = false;
    log.room();
    expect(drain(log, disk)).toBe(1);
    expect(recover(disk).state.entries).toHaveLength(1);
  });

  it('refuses the log of another group', () => {
    const disk = freshDisk(5);
    drain(new DurableLog(GROUP, recover(disk)), disk);
    expect(() => recoverLog(8, disk.files(), [1])).toThrow('of group 7, not 8');
  });
});

/** Keeps the texts that it is given. */
class Notebook implements StateMachine {
  texts: string[] = [];
  apply(command: Uint8Array): Uint8Array {
    this.texts.push(Buffer.from(command).toString());
    return Buffer.from(String(this.texts.length));
  }
  query(): Uint8Array {
    return Buffer.from(this.texts.join());
  }
  snapshot(): Uint8Array {
    return Buffer.from(JSON.stringify(this.texts));
  }
  restore(bytes: Uint8Array): void {
    this.texts = JSON.parse(Buffer.from(bytes).toString()) as string[];
  }
}

/** A replica on a real folder; its frames go straight to the others. */
class RealReplica {
  readonly answers = new Map<number, string>();
  readonly machine = new Notebook();
  #work: Promise<void> = Promise.resolve();
  peers = new Map<number, RealReplica>();
  nowMs = 0;
  syncs = 0;

  private constructor(
    readonly storage: FileStorage,
    readonly create: (machine: Notebook) => Replica,
    readonly replica = { current: null as Replica | null },
  ) {
    this.replica.current = create(this.machine);
  }

  static async open(folder: string, id: number, founders: number[]): Promise<RealReplica> {
    const { storage, recovered } = await FileStorage.open(folder, GROUP, founders);
    const random = new SeededRandom(id).next;
    return new RealReplica(
      storage,
      (machine) =>
        new Replica({
          id,
          group: GROUP,
          recovered,
          machine,
          timing: DEFAULT_RAFT_TIMING,
          random,
          nowMs: 0,
          compactAfterBytes: 20_000,
        }),
    );
  }

  start(): void {
    this.#carryOut(this.replica.current!.start());
  }

  step(event: ReplicaEvent): void {
    this.#carryOut(this.replica.current!.step(event, this.nowMs));
  }

  #carryOut(effects: ReplicaEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'send')
        setImmediate(() => this.peers.get(effect.to)?.step({ kind: 'frame', frame: effect.frame }));
      else if (effect.kind === 'answer') this.answers.set(effect.id, Buffer.from(effect.result).toString());
      else if (effect.kind === 'storage') {
        this.syncs++;
        this.#work = this.#work.then(async () => {
          await this.storage.perform(effect.operations);
          this.step({ kind: 'stored' });
        });
      }
    }
  }

  async close(): Promise<void> {
    await this.#work;
    await this.storage.close();
  }
}

const until = async (isSo: () => boolean, advance: () => void): Promise<void> => {
  for (let tries = 0; !isSo(); tries++) {
    if (tries > 2_000) throw new Error('it did not come to be');
    advance();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
};

describe('replicas on real folders', () => {
  it('agree, share syncs among commands, and know all after a restart', async () => {
    const root = await mkdtemp(join(tmpdir(), 'drvs-replica-'));
    folders.push(root);
    const ids = [1, 2, 3];
    const open = async (): Promise<RealReplica[]> => {
      const replicas = await Promise.all(ids.map((id) => RealReplica.open(join(root, String(id)), id, ids)));
      for (const one of replicas) one.peers = new Map(replicas.map((peer, at) => [ids[at]!, peer]));
      for (const one of replicas) one.start();
      return replicas;
    };
    const tick = (replicas: RealReplica[]) => (): void => {
      for (const one of replicas) {
        one.nowMs += 5;
        if (one.nowMs >= one.replica.current!.nextDeadlineMs) one.step({ kind: 'tick' });
      }
    };
    const leaderOf = (replicas: RealReplica[]) =>
      replicas.find((one) => one.replica.current!.raft.isCaughtUpLeader);

    const first = await open();
    await until(() => leaderOf(first) !== undefined, tick(first));
    const leader = leaderOf(first)!;
    const syncsBefore = leader.syncs;
    for (let id = 1; id <= 500; id++)
      leader.step({ kind: 'propose', id, command: Buffer.from(`command ${id}`) });
    await until(() => leader.answers.size === 500, tick(first));
    expect(leader.answers.get(500)).toBe('500');
    expect(leader.syncs - syncsBefore).toBeLessThan(50);
    for (const one of first) await one.close();

    const second = await open();
    await until(() => leaderOf(second) !== undefined, tick(second));
    await until(() => second.every(({ machine }) => machine.texts.length === 500), tick(second));
    for (const { machine } of second) expect(machine.texts.at(-1)).toBe('command 500');
    for (const one of second) await one.close();
  });
});
