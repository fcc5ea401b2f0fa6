import { performance } from 'node:perf_hooks';
import { DrvsError } from '@drvs/contracts';
import type { ReplicaId } from '../consensus/log-entry.js';
import { Pulse } from '../transport/pulse.js';
import { SyncClient, type SyncClientEvent } from './sync-client.js';
import { type SyncOperation, type SyncQuestion, type SyncResult, SyncStatus } from './sync-operation.js';

export interface SyncSessionOptions {
  /** A number that nobody else goes by at the replicas: replies come to it. */
  readonly client: number;
  readonly replicas: readonly ReplicaId[];
  readonly leaseMs: number;
  readonly clockDriftMax?: number;
  /** Default 100: among hosts of one cluster. */
  readonly retryMs?: number;
  readonly send: (to: ReplicaId, frame: Buffer) => void;
  /** The session is over, and with it all that it held; a new one is being opened. */
  readonly lost?: () => void;
}

const CLOCK_DRIFT_MAX = 0.05;
const RETRY_MS = 100;

/** One client of a synchronization group on this host: SyncClient with promises, the clock and what carries frames. */
export class SyncSession {
  readonly #options: SyncSessionOptions;
  readonly #client: SyncClient;
  readonly #pulse: Pulse;
  readonly #waiting = new Map<
    number,
    { resolve: (result: SyncResult) => void; reject: (error: Error) => void }
  >();
  #opened: (() => void)[] = [];
  #lastId = 0;

  constructor(options: SyncSessionOptions) {
    this.#options = options;
    const { clockDriftMax = CLOCK_DRIFT_MAX, retryMs = RETRY_MS } = options;
    const nowMs = performance.now();
    this.#client = new SyncClient({ ...options, clockDriftMax, retryMs, nowMs, random: Math.random });
    this.#pulse = new Pulse(
      () => this.#client.nextDeadlineMs,
      () => this.#step({ kind: 'tick' }),
    );
    this.#step({ kind: 'tick' });
  }

  /** Whether what is held is still held. */
  get isAlive(): boolean {
    return this.#client.isAlive(performance.now());
  }

  /** Once there is a session. */
  async opened(): Promise<void> {
    if (this.#client.session === 0) await new Promise<void>((resolve) => this.#opened.push(resolve));
  }

  /** What it has come to, be it after waiting. @throws DrvsError when the session is lost meanwhile. */
  operate(operation: SyncOperation): Promise<SyncResult> {
    return this.#ask((id) => ({ kind: 'operate', id, operation }));
  }

  /** isLeaseEnough: see SyncNode about clocks. */
  ask(question: SyncQuestion, isLeaseEnough: boolean): Promise<SyncResult> {
    return this.#ask((id) => ({ kind: 'ask', id, question, isLeaseEnough }));
  }

  receive(frame: Uint8Array): void {
    this.#step({ kind: 'frame', frame });
  }

  close(): void {
    this.#pulse.stop();
    this.#rejectAll();
  }

  #ask(event: (id: number) => SyncClientEvent): Promise<SyncResult> {
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      this.#waiting.set(id, { resolve, reject });
      this.#step(event(id));
    });
  }

  #step(event: SyncClientEvent): void {
    for (const effect of this.#client.step(event, performance.now())) {
      if (effect.kind === 'send') this.#options.send(effect.to, effect.frame);
      else if (effect.kind === 'result') {
        if (effect.result.status === SyncStatus.Waiting) continue;
        this.#waiting.get(effect.id)?.resolve(effect.result);
        this.#waiting.delete(effect.id);
      } else if (effect.kind === 'opened') {
        for (const resolve of this.#opened.splice(0)) resolve();
      } else {
        this.#rejectAll();
        this.#options.lost?.();
      }
    }
    this.#pulse.set();
  }

  #rejectAll(): void {
    for (const { reject } of this.#waiting.values()) {
      reject(
        new DrvsError('StateConflict', 'the session ended before there was an answer', {
          hint: 'The operation may or may not have been done; look before doing it again.',
        }),
      );
    }
    this.#waiting.clear();
  }
}
