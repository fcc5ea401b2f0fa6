/** Where TTY keeps what processes wrote. Synchronous; a log is bytes with a stream and an offset each. */

export type StreamName = 'stdout' | 'stderr';

/** A run of bytes of one stream. */
export interface OutputPiece {
  stream: StreamName;
  /** Of its first byte, counted over both streams of the process. */
  offset: number;
  bytes: Uint8Array;
}

export interface OutputStore {
  /** Lines of which something is kept. */
  lines(): number[];
  /** Starts a line's log anew. */
  create(line: number): void;
  /** Takes the bytes (they are copied); the oldest of the log are dropped when it is full. */
  append(line: number, stream: StreamName, bytes: Uint8Array): void;
  /** From `offset` (or the first byte kept, when that is later), at most `maxBytes` in all, in the order of writing. */
  read(line: number, offset: number, maxBytes: number): OutputPiece[];
  /** Offsets of the first byte kept and after the last; null when there is no such log. */
  extent(line: number): { start: number; end: number } | null;
  /** Nothing more will come: its file need not stay open. */
  finish(line: number): void;
  /** More will come of one that was found finished at the start: its process has moved here with its home. */
  reopen(line: number): void;
  remove(line: number): void;
  /** Hands what is still in memory to the host. */
  flush(): void;
  close(): void;
}
