import { DrvsError, type FramePipe, type RpcHandler, RpcPeer } from '@drvs/contracts';
import { Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { Database } from '../database/database.js';
import { LedgerSession } from '../jobs/ledger-session.js';
import { Recurring } from '../jobs/recurring.js';
import { ApiProcesses } from './api-processes.js';

/** Frames, and bytes of them, that one statement carries. */
const BATCH_FRAMES = 64;
const BATCH_BYTES = 4 * 1024 * 1024;
/** Bytes that wait to be written for one process; beyond it nobody reads there. */
const WAITING_BYTES_MAX = 256 * 1024 * 1024;
/** A notice may be lost with the session that brings it. */
const LOOK_EVERY_MS = 2_000;
/** What nobody has taken for so long is for a process that is gone. */
const KEPT_SECONDS = 120;

const SEND = {
  name: 'relay-send',
  text: `WITH sent AS (
      INSERT INTO api_frame (from_process, to_process, frame)
      SELECT $1::uuid, $2::uuid, frame FROM unnest($3::bytea[]) WITH ORDINALITY AS f (frame, nth) ORDER BY nth
      RETURNING 1
    ) SELECT pg_notify('drvs_frame', $2::uuid::text) FROM sent LIMIT 1`,
};
const TAKE = {
  name: 'relay-take',
  text: `DELETE FROM api_frame WHERE id IN (
      SELECT id FROM api_frame WHERE to_process = $1 ORDER BY id LIMIT $2
    ) RETURNING id, from_process::text AS sender, frame`,
};

/** Frames to one process: written in order, those that wait together by one statement. */
class FrameMail implements FramePipe {
  onFrame: ((frame: Uint8Array) => void) | null = null;
  onClose: ((reason: string) => void) | null = null;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #isWriting = false;
  #isClosed = false;

  /** @param write sends frames; when it fails, none or all of them may have been sent, so the pipe is closed */
  constructor(
    private readonly write: (frames: readonly Uint8Array[]) => Promise<void>,
    private readonly forget: () => void,
  ) {}

  send(frame: Uint8Array): void {
    if (this.#isClosed) return;
    this.#waiting.push(frame);
    this.#waitingBytes += frame.length;
    if (this.#waitingBytes > WAITING_BYTES_MAX) this.end('it does not read what it is sent');
    else if (!this.#isWriting) void this.#work();
  }

  close(reason = 'closed here'): void {
    this.end(reason);
  }

  end(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#waiting = [];
    this.forget();
    this.onClose?.(reason);
  }

  async #work(): Promise<void> {
    this.#isWriting = true;
    try {
      while (this.#waiting.length > 0) {
        let bytes = 0;
        let count = 0;
        while (count < this.#waiting.length && count < BATCH_FRAMES && bytes < BATCH_BYTES)
          bytes += this.#waiting[count++]!.length;
        const frames = this.#waiting.splice(0, count);
        this.#waitingBytes -= bytes;
        await this.write(frames);
      }
    } catch (error) {
      this.end((error as Error).message);
    } finally {
      this.#isWriting = false;
    }
  }
}

/**
 * Calls between the API processes, with bodies, chunks and cancellation, by way of the ledger: every process reaches it
 * already, so that nothing has to be configured, opened or kept secret for it. A call costs about four statements; what
 * is asked often, or much of it, is better asked of the process that holds the channel.
 */
@Injectable()
export class ApiRelay implements OnApplicationBootstrap, OnApplicationShutdown {
  readonly #logger = new Logger('Relay');
  readonly #peers = new Map<string, { peer: RpcPeer; mail: FrameMail }>();
  readonly #handlers = new Map<string, RpcHandler>();
  readonly #looks = new Recurring(
    LOOK_EVERY_MS,
    () => this.#take(),
    (error) => this.#logger.warn(error.message),
  );
  #isAskedAgain = false;

  constructor(
    private readonly database: Database,
    private readonly notices: LedgerSession,
    private readonly processes: ApiProcesses,
  ) {}

  onApplicationBootstrap(): void {
    this.notices.onTold('drvs_frame', (id) => {
      if (id !== this.processes.id) return;
      this.#isAskedAgain = true;
      void this.#looks.now();
    });
    this.processes.onGone((id) => this.#peers.get(id)?.mail.end('that API process is gone'));
    this.#looks.start();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.#looks.stop();
    for (const { mail } of [...this.#peers.values()]) mail.end('the API is going down');
  }

  /** What another process may ask of this one. */
  handle(method: string, handler: RpcHandler): void {
    this.#handlers.set(method, handler);
  }

  /** The other end is the process with this id. */
  to(processId: string): RpcPeer {
    const known = this.#peers.get(processId);
    if (known) return known.peer;
    const mail = new FrameMail(
      async (frames) => {
        const values = [this.processes.id, processId, frames.map((frame) => Buffer.from(frame))];
        await this.database.pool.query({ ...SEND, values });
      },
      () => this.#peers.delete(processId),
    );
    const peer = new RpcPeer(mail, 'another API process');
    for (const [method, handler] of this.#handlers) peer.handle(method, handler);
    this.#peers.set(processId, { peer, mail });
    return peer;
  }

  /** Takes what there is, and what comes meanwhile. */
  async #take(): Promise<void> {
    await this.database.pool.query(`DELETE FROM api_frame WHERE at < now() - make_interval(secs => $1)`, [
      KEPT_SECONDS,
    ]);
    do {
      this.#isAskedAgain = false;
      for (;;) {
        const { rows } = await this.database.pool.query<{ id: string; sender: string; frame: Buffer }>({
          ...TAKE,
          values: [this.processes.id, BATCH_FRAMES],
        });
        if (rows.length === 0) break;
        rows.sort((a, b) => Number(a.id) - Number(b.id));
        for (const { sender, frame } of rows) {
          this.to(sender);
          this.#peers.get(sender)?.mail.onFrame?.(frame);
        }
      }
    } while (this.#isAskedAgain);
  }
}

export const notHere = (node: string): DrvsError =>
  new DrvsError('NodeUnreachable', `The agent of ${node} is not connected`, {
    hint: 'Is the node up? See `drvs node list`; try again when it is back.',
  });
