import type { Actor } from '../auth/actor.js';
import type { OutputPiece, ProcessesService } from '../processes/processes.service.js';
import type { Output, OutputChunk } from './object-types.js';

/** Text of one answer at most; a page that wants more asks on from `nextOffset`. */
const MAX_TEXT_BYTES = 1_048_576;

/** The output as text. Bytes that are not UTF-8 become U+FFFD; a character cut by the end of what there is waits. */
export async function textOf(
  processes: ProcessesService,
  actor: Actor,
  drvm: string,
  pid: number,
  offset: number,
): Promise<Output> {
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  const enough = new AbortController();
  let text = '';
  let bytes = 0;
  let next = offset;
  let isCut = false;
  const take = (piece: OutputPiece) => {
    if (bytes >= MAX_TEXT_BYTES) {
      isCut = true;
      enough.abort();
      return;
    }
    text += decoders[piece.stream].decode(piece.bytes, { stream: true });
    bytes += piece.bytes.length;
    next = piece.offset + piece.bytes.length;
  };
  try {
    const end = await processes.output(actor, drvm, { pid, offset, follow: false }, take, enough.signal);
    const { exit, lost } = end;
    return {
      text,
      nextOffset: end.nextOffset,
      lost,
      exitCode: exit?.exitCode ?? null,
      signal: exit?.signal ?? null,
    };
  } catch (error) {
    if (!isCut) throw error;
    return { text, nextOffset: next, lost: 0, exitCode: null, signal: null };
  }
}

/**
 * The output as it comes. The process's writer is held back while the reader of the subscription has not taken what
 * came before; a character split between two pieces comes whole with the second.
 */
export async function* outputChunks(
  processes: ProcessesService,
  actor: Actor,
  drvm: string,
  pid: number,
  offset: number,
  signal: AbortSignal,
): AsyncGenerator<OutputChunk> {
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  const gate = new Handover<OutputChunk>(signal);
  const ended = processes
    .output(
      actor,
      drvm,
      { pid, offset, follow: true },
      ({ stream, offset: at, bytes }) =>
        gate.give({
          stream,
          offset: at,
          text: decoders[stream].decode(bytes, { stream: true }),
          exitCode: null,
          signal: null,
        }),
      signal,
    )
    .then(({ exit, nextOffset }) =>
      gate.give({
        stream: 'stdout',
        offset: nextOffset,
        text: '',
        exitCode: exit?.exitCode ?? null,
        signal: exit?.signal ?? null,
      }),
    )
    .finally(() => gate.close());
  ended.catch(() => undefined);
  yield* gate.taken();
  await ended;
}

/** One value at a time from a giver to a taker, who wait for each other. */
class Handover<T> {
  #value: { value: T; taken: () => void } | null = null;
  #wake: (() => void) | null = null;
  #isClosed = false;

  constructor(private readonly signal: AbortSignal) {
    signal.addEventListener('abort', () => this.close(), { once: true });
  }

  give(value: T): Promise<void> {
    this.signal.throwIfAborted();
    return new Promise((taken) => {
      this.#value = { value, taken };
      this.#wake?.();
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#wake?.();
  }

  async *taken(): AsyncGenerator<T> {
    for (;;) {
      const given = this.#value;
      if (given) {
        this.#value = null;
        yield given.value;
        given.taken();
      } else if (this.#isClosed) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = null;
      }
    }
  }
}
