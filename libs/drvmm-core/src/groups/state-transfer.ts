import { crc32c } from '../codec/crc32c.js';
import { type GroupBody, MAX_GROUP_STATE_BYTES } from './group-frame.js';
import type { GroupMemberId } from './member-id.js';

const WINDOW_CHUNKS = 8;

/** Gives a state to those who need it, in pieces, each receiver at its own speed. */
export class StateGiver {
  readonly #data: Uint8Array;
  readonly #chunkBytes: number;
  readonly #checksum: number;
  readonly #receivers: Map<GroupMemberId, { acked: number; sent: number; isStuck: boolean }>;

  constructor(data: Uint8Array, receivers: readonly GroupMemberId[], chunkBytes: number) {
    if (data.length > MAX_GROUP_STATE_BYTES) throw new RangeError(`a state of ${data.length} bytes`);
    this.#data = data;
    this.#chunkBytes = chunkBytes;
    this.#checksum = crc32c(data);
    this.#receivers = new Map(receivers.map((id) => [id, { acked: 0, sent: -1, isStuck: false }]));
  }

  get isDone(): boolean {
    return this.#receivers.size === 0;
  }

  /** The pieces to send now; isLate: those that were not confirmed since the last time once more. */
  next(isLate: boolean): { to: GroupMemberId; body: GroupBody & { kind: 'chunk' } }[] {
    const pieces: { to: GroupMemberId; body: GroupBody & { kind: 'chunk' } }[] = [];
    for (const [to, progress] of this.#receivers) {
      if (isLate) {
        if (progress.isStuck) progress.sent = -1;
        progress.isStuck = true;
      }
      if (progress.sent < 0) progress.sent = progress.acked;
      else if (progress.sent >= this.#data.length) continue;
      const windowEnd = progress.acked + WINDOW_CHUNKS * this.#chunkBytes;
      do {
        const bytes = this.#data.subarray(progress.sent, progress.sent + this.#chunkBytes);
        const { length: totalBytes } = this.#data;
        pieces.push({
          to,
          body: { kind: 'chunk', totalBytes, checksum: this.#checksum, offset: progress.sent, bytes },
        });
        progress.sent += bytes.length;
      } while (progress.sent < this.#data.length && progress.sent < windowEnd);
    }
    return pieces;
  }

  confirmed(by: GroupMemberId, offset: number): void {
    const progress = this.#receivers.get(by);
    if (progress === undefined || offset > this.#data.length) return;
    if (offset >= this.#data.length) this.#receivers.delete(by);
    if (offset <= progress.acked) return;
    progress.acked = offset;
    progress.sent = Math.max(progress.sent, offset);
    progress.isStuck = false;
  }
}

/** Puts a state together. */
export class StateTaker {
  #chunks: Uint8Array[] = [];
  #received = 0;
  #checksum = -1;
  #totalBytes = -1;

  /** All pieces before this place are here. */
  get received(): number {
    return this.#received;
  }

  /** The state once it is whole, else null. */
  take({ totalBytes, checksum, offset, bytes }: GroupBody & { kind: 'chunk' }): Uint8Array | null {
    if (totalBytes > MAX_GROUP_STATE_BYTES || offset + bytes.length > totalBytes) return null;
    if (checksum !== this.#checksum || totalBytes !== this.#totalBytes) {
      this.#chunks = [];
      this.#received = 0;
      this.#checksum = checksum;
      this.#totalBytes = totalBytes;
    }
    if (offset !== this.#received) return null;
    // A copy: the frame's memory is not kept for the sake of a piece.
    this.#chunks.push(Uint8Array.from(bytes));
    this.#received += bytes.length;
    if (this.#received < totalBytes) return null;
    const state = Buffer.concat(this.#chunks);
    if (crc32c(state) === checksum) return state;
    this.#checksum = -1;
    return null;
  }
}
