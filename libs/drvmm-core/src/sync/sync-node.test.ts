import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import { SyncNode } from './sync-node.js';
import { GateMode, SyncStatus } from './sync-operation.js';
import { SyncSession } from './sync-session.js';

const REPLICAS = [1, 2, 3];
const CLIENT = 7;

/** Three replicas and a session in this process; frames go by way of the event loop. */
class Trio {
  readonly nodes = new Map<number, SyncNode>();
  readonly failures: unknown[] = [];
  session!: SyncSession;

  constructor(readonly folder: string | null) {}

  async start(): Promise<void> {
    for (const id of REPLICAS) await this.startReplica(id);
    this.session = new SyncSession({
      client: CLIENT,
      replicas: REPLICAS,
      leaseMs: 60_000,
      send: (to, frame) => setImmediate(() => this.nodes.get(to)?.receive(frame)),
    });
    await this.session.opened();
  }

  async startReplica(id: number): Promise<void> {
    const node = await SyncNode.open({
      group: 1,
      id,
      founders: REPLICAS,
      folder: this.folder && join(this.folder, `r${id}`),
      send: (to, frame) => setImmediate(() => this.nodes.get(to)?.receive(frame)),
      reply: (client, frame) => setImmediate(() => client === CLIENT && this.session.receive(frame)),
      failed: (error) => this.failures.push(error),
    });
    this.nodes.set(id, node);
  }

  async stopReplica(id: number): Promise<void> {
    const node = this.nodes.get(id)!;
    this.nodes.delete(id);
    await node.close();
  }

  write(name: string, text: string) {
    return this.session.operate({ kind: 'write', name, value: Buffer.from(text), lock: '', fence: 0 });
  }

  async read(name: string): Promise<string> {
    return Buffer.from((await this.session.ask({ kind: 'read', name }, false)).value).toString();
  }

  async stop(): Promise<void> {
    this.session.close();
    for (const id of [...this.nodes.keys()]) await this.stopReplica(id);
  }
}

let trio: Trio | null = null;
let folder: string | null = null;

afterEach(async () => {
  await trio?.stop();
  if (folder !== null) await rm(folder, { recursive: true, force: true });
  folder = null;
});

describe('a synchronization group on this host', () => {
  it('keeps what was confirmed when all its replicas end and start again', async () => {
    folder = await mkdtemp(join(tmpdir(), 'drvs-sync-node-'));
    trio = new Trio(folder);
    await trio.start();
    const results = await Promise.all(Array.from({ length: 40 }, (_, i) => trio!.write(`k${i}`, `v${i}`)));
    expect(results.every(({ status }) => status === SyncStatus.Done)).toBe(true);
    for (const id of REPLICAS) await trio.stopReplica(id);
    for (const id of REPLICAS) await trio.startReplica(id);
    expect(await trio.read('k39')).toBe('v39');
    expect(trio.failures).toEqual([]);
  });

  it('serves on when the replica that leads ends', async () => {
    trio = new Trio(null);
    await trio.start();
    await trio.write('k', 'before');
    const { leader } = trio.nodes.get(1)!.service.replica.raft;
    await trio.stopReplica(leader);
    expect(await trio.read('k')).toBe('before');
    expect((await trio.write('k', 'after')).status).toBe(SyncStatus.Done);
    expect(await trio.read('k')).toBe('after');
  });

  it('gives a lock, in memory as on disk', async () => {
    trio = new Trio(null);
    await trio.start();
    const lock = { name: 'l', mode: GateMode.Exclusive, permits: 1, capacity: 0, value: Buffer.from('me') };
    const first = await trio.session.operate({ kind: 'acquire', isTry: false, ...lock });
    expect(first.status).toBe(SyncStatus.Granted);
    const second = await trio.session.operate({ kind: 'acquire', isTry: true, ...lock });
    expect(second.status).toBe(SyncStatus.Busy);
    await trio.session.operate({ kind: 'release', name: 'l', token: first.token });
    const third = await trio.session.operate({ kind: 'acquire', isTry: false, ...lock });
    expect(third.token).toBeGreaterThan(first.token);
  });
});
