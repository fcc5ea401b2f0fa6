import { performance } from 'node:perf_hooks';
import { FrameProtocol } from '../codec/checked-frame.js';
import { recoverLog, type StorageOperation } from '../consensus/durable-log.js';
import { FileStorage } from '../consensus/file-storage.js';
import type { ReplicaId } from '../consensus/log-entry.js';
import { DEFAULT_RAFT_TIMING, type RaftTiming } from '../consensus/raft.js';
import { Pulse } from '../transport/pulse.js';
import { SyncService, type SyncServiceEffect, type SyncServiceEvent } from './sync-service.js';

/** While the disk is full it is tried again so often. */
const ROOM_RETRY_MS = 500;

export interface SyncNodeOptions {
  readonly group: number;
  readonly id: ReplicaId;
  /** The voters that the group begins with; looked at only while `folder` has no log. */
  readonly founders: readonly ReplicaId[];
  /**
   * The log's own. Null: in memory only; then a replica that ends may never come back under its id, and what most of
   * the voters forgot is gone.
   */
  readonly folder: string | null;
  readonly timing?: RaftTiming;
  /** To another replica; a frame that cannot go now may be dropped. */
  readonly send: (to: ReplicaId, frame: Buffer) => void;
  readonly reply: (client: number, frame: Buffer) => void;
  /** The replica has ended: nobody knows what is on its disk, or what it was to assert is not so. */
  readonly failed: (error: unknown) => void;
}

/**
 * A replica of a synchronization group on this host: SyncService with a folder, the clock and whatever carries frames.
 *
 * Its clock does not count the time that a host is suspended. So a group whose hosts may be suspended must not read
 * by lease; those that ask a majority (isLeaseEnough: false) assume nothing of clocks.
 */
export class SyncNode {
  readonly #options: SyncNodeOptions;
  readonly #storage: FileStorage | null;
  readonly #service: SyncService;
  readonly #pulse: Pulse;
  #isClosed = false;
  #writing: Promise<void> = Promise.resolve();

  private constructor(options: SyncNodeOptions, storage: FileStorage | null, service: SyncService) {
    this.#options = options;
    this.#storage = storage;
    this.#service = service;
    this.#pulse = new Pulse(
      () => service.nextDeadlineMs,
      () => this.#step({ kind: 'tick' }),
    );
  }

  /** @throws LogCorrupt */
  static async open(options: SyncNodeOptions): Promise<SyncNode> {
    const { group, id, founders, folder, timing = DEFAULT_RAFT_TIMING } = options;
    const { storage, recovered } =
      folder === null
        ? { storage: null, recovered: recoverLog(group, [], founders) }
        : await FileStorage.open(folder, group, founders);
    const service = new SyncService({
      id,
      group,
      recovered,
      timing,
      random: Math.random,
      nowMs: performance.now(),
    });
    const node = new SyncNode(options, storage, service);
    node.#carryOut(service.start());
    node.#pulse.set();
    return node;
  }

  get service(): SyncService {
    return this.#service;
  }

  /** From a replica or a client. The frame belongs to the node from then on. */
  receive(frame: Uint8Array): void {
    // Protocol byte of the envelope; what is in it is checked by who opens it.
    const isReplicas = frame[4] === FrameProtocol.Consensus;
    this.#step(isReplicas ? { kind: 'frame', frame } : { kind: 'client', frame });
  }

  transfer(to: ReplicaId): void {
    this.#step({ kind: 'transfer', to });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#pulse.stop();
    await this.#writing;
    await this.#storage?.close();
  }

  #step(event: SyncServiceEvent): void {
    if (this.#isClosed) return;
    try {
      this.#carryOut(this.#service.step(event, performance.now()));
    } catch (error) {
      this.#end(error);
      return;
    }
    this.#pulse.set();
  }

  #carryOut(effects: readonly SyncServiceEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'send') this.#options.send(effect.to, effect.frame);
      else if (effect.kind === 'reply') this.#options.reply(effect.client, effect.frame);
      else if (effect.kind === 'storage') this.#writing = this.#write(effect.operations);
    }
  }

  async #write(operations: readonly StorageOperation[]): Promise<void> {
    try {
      // Never within the step that asked for it: the effects after this one come first.
      const isStored = await (this.#storage?.perform(operations) ?? true);
      if (isStored) this.#step({ kind: 'stored' });
      else {
        this.#step({ kind: 'noRoom' });
        setTimeout(() => this.#step({ kind: 'room' }), ROOM_RETRY_MS).unref();
      }
    } catch (error) {
      this.#end(error);
    }
  }

  #end(error: unknown): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#pulse.stop();
    this.#options.failed(error);
  }
}
