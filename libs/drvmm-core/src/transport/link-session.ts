import { MAX_FRAME_BYTES } from '@drvs/contracts';
import { Lane } from './lane.js';
import {
  LINK_HEADER_BYTES,
  LinkGarbage,
  LinkKind,
  LinkParser,
  SLICE_BYTES,
  SLICE_FIRST,
  SLICE_LAST,
  writeLinkHeader,
} from './link-frame.js';

/** Unacknowledged bytes of lane ipc from which sendIpc answers false, and until which it does. */
const IPC_HIGH_WATER_BYTES = 8 * 1024 * 1024;
const IPC_LOW_WATER_BYTES = 2 * 1024 * 1024;
/** Beyond this the peer is as good as gone: the session is given up rather than memory filled. */
const IPC_LIMIT_BYTES = 128 * 1024 * 1024;
/** Bytes of the control lane that wait to be sliced; a few process images. */
const CONTROL_LIMIT_BYTES = 1024 * 1024 * 1024;
/** Slices on their way at a time: enough to fill the link, little enough to be let pass by lane ipc. */
const CONTROL_WINDOW_BYTES = 2 * 1024 * 1024;
/** Frames of one turn from which on those of the next ones that have come already leave with them. */
const LOAD_FRAMES = 8;
/** Frames of a tick are written in pieces of about this size. */
const WRITE_BYTES = 256 * 1024;

/**
 * Versions of what containers say to each other, so that two releases of one DRVM can live together while it is upgraded:
 * the greater of a release is spoken where both know it. 2: Renew; Relay, AwaitBind and non-blocking sends of IPC.
 */
export const LINK_VERSIONS: readonly [least: number, most: number] = [1, 2];
const RENEWAL_SINCE = 2;

/** What the session asks of its shell. None of it may call the session back at once, besides sendIpc and sendControl. */
export interface LinkPort {
  /** Writes to the present connection. False: it is full; call session.writable() when it has room. */
  write(bytes: Buffer): boolean;
  /** Ends the present connection; answer with session.disconnected(). */
  disconnect(reason: string): void;
  /** Something waits to be written: call session.flush() at the end of this turn. */
  wantsFlush(): void;
  /** Bytes of frames that may be written now, infinite without a limit. 0: none; the port calls session.flush() later. */
  room(): number;
  /** `version`: of the protocol, the greatest that both speak. */
  up(incarnation: string, version: number): void;
  /** The peer has a new certificate, and wants a new connection: one that proves it. */
  renew(): void;
  lost(reason: string): void;
  ipc(frame: Uint8Array): void;
  control(frame: Uint8Array): void;
  drained(): void;
}

export interface LinkSessionOptions {
  readonly index: number;
  readonly peerIndex: number;
  readonly incarnation: string;
  readonly lostAfterMs: number;
  /** Versions of the protocol that this side understands. Default LINK_VERSIONS. */
  readonly speaks?: readonly [least: number, most: number];
  /** Random, never given twice. */
  newSessionId(): string;
  readonly port: LinkPort;
}

interface Hello {
  index: number;
  incarnation: string;
  session: string;
  /** The other's session that the speaker remembers. */
  yours: string | null;
  /** Last sequences received of the lanes, in that session. */
  received: [ipc: number, control: number];
  /** Versions of the protocol; not said by the first. */
  speaks?: [least: number, most: number];
}

enum Connection {
  None,
  /** Hello sent. */
  Greeting,
  /** Hello received and taken, Welcome sent. */
  Adopted,
  Open,
}

/**
 * One session with one peer container, over any number of connections one after another. Sans-I/O: events and time
 * in, effects through LinkPort.
 *
 *   connected ─▶ Hello ⇄ Hello ─▶ Welcome ⇄ Welcome ─▶ frames
 *
 * Both remember (own session, peer's session). If the Hellos agree on both, the session goes on: each writes again
 * what the other has not received. If not (another incarnation, or one side gave the other up), both begin anew at
 * sequence 1, and a side that was up says lost first.
 *
 * Invariants: between up and lost, every frame sent is delivered once and in order by lane, or the peer says lost;
 * at most IPC_LIMIT_BYTES + CONTROL_LIMIT_BYTES are kept; frames of lane ipc pass those of lane control.
 */
export class LinkSession {
  readonly #options: LinkSessionOptions;
  readonly #port: LinkPort;
  readonly #parser: LinkParser;
  readonly #speaks: readonly [least: number, most: number];
  #connection = Connection.None;
  #session: string;
  #peer: { session: string; incarnation: string } | null = null;
  #isUp = false;
  #ipc = new Lane(LinkKind.Ipc);
  #control = new Lane(LinkKind.Control);
  #version = 1;
  #isCongested = false;
  /** The connection takes no more bulk for now. */
  #isFull = false;
  #toSlice: { frame: Uint8Array; at: number }[] = [];
  #toSliceBytes = 0;
  #assembly: Buffer | null = null;
  #assembled = 0;
  #lastHeardMs = 0;
  #connectedMs = 0;
  #lastWrittenMs = 0;
  #nowMs = 0;
  #mustPong = false;

  constructor(options: LinkSessionOptions) {
    this.#options = options;
    this.#port = options.port;
    this.#session = options.newSessionId();
    this.#speaks = options.speaks ?? LINK_VERSIONS;
    this.#parser = new LinkParser((kind, flags, sequence, ack, body) =>
      this.#take(kind, flags, sequence, ack, body),
    );
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  /** So many frames wait that more are to be expected at once: gathering them costs nobody time. */
  get isUnderLoad(): boolean {
    return this.#ipc.unwritten >= LOAD_FRAMES;
  }

  get isConnected(): boolean {
    return this.#connection !== Connection.None;
  }

  // ── events of the shell ──────────────────────────────────────────────────────────────────────────────────────

  /** A connection whose other end has proved to be the peer. An earlier one must be gone. */
  connected(nowMs: number): void {
    if (this.#connection !== Connection.None) throw new Error('the session has a connection already');
    this.#nowMs = nowMs;
    this.#parser.reset();
    this.#isFull = false;
    this.#mustPong = false;
    this.#connectedMs = nowMs;
    this.#connection = Connection.Greeting;
    const hello: Hello = {
      index: this.#options.index,
      incarnation: this.#options.incarnation,
      session: this.#session,
      yours: this.#peer?.session ?? null,
      received: [this.#ipc.received, this.#control.received],
      speaks: [...this.#speaks],
    };
    this.#writeAlone(LinkKind.Hello, Buffer.from(JSON.stringify(hello)));
  }

  disconnected(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#connection = Connection.None;
    this.#parser.reset();
  }

  receive(chunk: Buffer, nowMs: number): void {
    if (this.#connection === Connection.None) return;
    this.#nowMs = nowMs;
    this.#lastHeardMs = nowMs;
    try {
      this.#parser.push(chunk);
    } catch (error) {
      if (!(error instanceof LinkGarbage)) throw error;
      this.#port.disconnect(error.message);
      return;
    }
    if (this.#ipc.mustReport || this.#control.mustReport || this.#mustPong) this.#port.wantsFlush();
  }

  /**
   * Time passes; call it several times within lostAfterMs. `stalledMs`: for so long nobody could have listened
   * (this process was stopped or busy), which is not held against the peer.
   */
  tick(nowMs: number, stalledMs = 0): void {
    this.#nowMs = nowMs;
    this.#lastHeardMs += stalledMs;
    this.#connectedMs += stalledMs;
    const { lostAfterMs } = this.#options;
    const silentMs = nowMs - this.#lastHeardMs;
    if (this.#isUp && silentMs > lostAfterMs) {
      this.lose(`not heard of for ${Math.round(silentMs)} ms`);
      return;
    }
    if (this.#connection === Connection.None) return;
    const deafMs = nowMs - Math.max(this.#lastHeardMs, this.#connectedMs);
    if (deafMs > lostAfterMs / 2) {
      // A dead connection says nothing; a new one may get through.
      this.#port.disconnect(`silent for ${Math.round(deafMs)} ms`);
      return;
    }
    if (this.#connection !== Connection.Open) return;
    if (this.#ipc.unreportedFrames > 0 || this.#control.unreportedFrames > 0) this.#writeAck();
    else if (nowMs - this.#lastWrittenMs >= lostAfterMs / 8) this.#writeAlone(LinkKind.Ping, EMPTY);
  }

  /** The connection has room again. */
  writable(): void {
    this.#isFull = false;
    if (this.#connection === Connection.Open) this.flush();
  }

  // ── sending ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** False: taken, but the peer is behind (or not up: dropped). */
  sendIpc(frame: Uint8Array): boolean {
    if (!this.#isUp) return false;
    const lane = this.#ipc;
    lane.push(frame, 0);
    if (lane.bytes > IPC_LIMIT_BYTES) {
      this.lose(`${lane.bytes} bytes were not acknowledged`);
      return false;
    }
    if (this.#connection === Connection.Open) this.#port.wantsFlush();
    if (lane.bytes > IPC_HIGH_WATER_BYTES) this.#isCongested = true;
    return !this.#isCongested;
  }

  sendControl(frame: Uint8Array): void {
    if (!this.#isUp) return;
    this.#toSlice.push({ frame, at: 0 });
    this.#toSliceBytes += frame.length;
    if (frame.length > MAX_FRAME_BYTES || this.#toSliceBytes > CONTROL_LIMIT_BYTES) {
      this.lose(`${this.#toSliceBytes} bytes wait in the control lane`);
      return;
    }
    if (this.#connection === Connection.Open) this.#port.wantsFlush();
  }

  /**
   * Writes what waits as far as the port has room: lane ipc first, then the control lane as far as the connection and the
   * window have room too. What keeps the link alive waits for none of them.
   */
  flush(): void {
    if (this.#connection !== Connection.Open) return;
    this.#writeFrames();
    if (this.#ipc.mustReport || this.#control.mustReport) this.#writeAck();
    if (this.#mustPong) {
      this.#mustPong = false;
      this.#writeAlone(LinkKind.Pong, EMPTY);
    }
  }

  #writeFrames(): void {
    while (this.#ipc.hasUnwritten) {
      const room = this.#port.room();
      if (room === 0) return;
      this.#write(this.#ipc.next(Math.min(WRITE_BYTES, room)));
    }
    while (!this.#isFull && this.#slice()) {
      const room = this.#port.room();
      if (room === 0) return;
      this.#write(this.#control.next(Math.min(WRITE_BYTES, room)));
    }
  }

  /** Cuts the next slices off what waits; true when there is something to write. */
  #slice(): boolean {
    const lane = this.#control;
    while (lane.bytes < CONTROL_WINDOW_BYTES && this.#toSlice.length > 0) {
      const next = this.#toSlice[0]!;
      const { frame } = next;
      const end = Math.min(next.at + SLICE_BYTES, frame.length);
      let flags = end === frame.length ? SLICE_LAST : 0;
      const body = frame.subarray(next.at, end);
      if (next.at === 0) {
        flags |= SLICE_FIRST;
        lane.push(body, flags, frame.length);
      } else {
        lane.push(body, flags);
      }
      this.#toSliceBytes -= end - next.at;
      next.at = end;
      if (end === frame.length) this.#toSlice.shift();
    }
    return lane.hasUnwritten;
  }

  #writeAck(): void {
    const body = Buffer.allocUnsafe(8);
    body.writeUInt32LE(this.#ipc.received, 0);
    body.writeUInt32LE(this.#control.received, 4);
    this.#ipc.reported();
    this.#control.reported();
    this.#writeAlone(LinkKind.Ack, body);
  }

  #writeAlone(kind: LinkKind, body: Buffer): void {
    const bytes = Buffer.allocUnsafe(LINK_HEADER_BYTES + body.length);
    writeLinkHeader(bytes, 0, kind, 0, body.length, 0, 0);
    bytes.set(body, LINK_HEADER_BYTES);
    this.#write(bytes);
  }

  #write(bytes: Buffer): void {
    this.#lastWrittenMs = this.#nowMs;
    if (!this.#port.write(bytes)) this.#isFull = true;
  }

  // ── receiving ────────────────────────────────────────────────────────────────────────────────────────────────

  #take(kind: LinkKind, flags: number, sequence: number, ack: number, body: Uint8Array): void {
    if (kind === LinkKind.Hello) {
      this.#takeHello(body);
      return;
    }
    if (kind === LinkKind.Goodbye) {
      const reason = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8');
      this.lose(`it said goodbye: ${reason}`);
      return;
    }
    // A session that ended while this very chunk was taken apart.
    if (this.#connection === Connection.None) return;
    if (kind === LinkKind.Welcome) {
      this.#takeWelcome();
      return;
    }
    if (this.#connection !== Connection.Open) throw new LinkGarbage(`${LinkKind[kind]} before the greeting`);
    switch (kind) {
      case LinkKind.Ipc:
        this.#acknowledge(this.#ipc, ack);
        if (this.#ipc.accept(sequence, body.length)) this.#port.ipc(body);
        return;
      case LinkKind.Control:
        this.#acknowledge(this.#control, ack);
        if (this.#control.accept(sequence, body.length)) this.#assemble(flags, body);
        return;
      case LinkKind.Ack: {
        if (body.length !== 8) throw new LinkGarbage(`acknowledgement of ${body.length} bytes`);
        const view = new DataView(body.buffer, body.byteOffset, 8);
        this.#acknowledge(this.#ipc, view.getUint32(0, true));
        this.#acknowledge(this.#control, view.getUint32(4, true));
        return;
      }
      case LinkKind.Ping:
        this.#mustPong = true;
        return;
      case LinkKind.Renew:
        this.#port.renew();
        return;
      default:
        return;
    }
  }

  #acknowledge(lane: Lane, sequence: number): void {
    lane.acknowledge(sequence);
    if (lane === this.#control) {
      if (this.#toSlice.length > 0) this.#port.wantsFlush();
    } else if (this.#isCongested && lane.bytes <= IPC_LOW_WATER_BYTES) {
      this.#isCongested = false;
      this.#port.drained();
    }
  }

  #assemble(flags: number, body: Uint8Array): void {
    let part = body;
    if ((flags & SLICE_FIRST) !== 0) {
      if (body.length < 4) throw new LinkGarbage('first slice without a length');
      const length = new DataView(body.buffer, body.byteOffset, 4).getUint32(0, true);
      if (length > MAX_FRAME_BYTES) throw new LinkGarbage(`control frame of ${length} bytes`);
      this.#assembly = Buffer.allocUnsafe(length);
      this.#assembled = 0;
      part = body.subarray(4);
    }
    const assembly = this.#assembly;
    if (assembly === null || this.#assembled + part.length > assembly.length) {
      throw new LinkGarbage('slices that make no frame');
    }
    assembly.set(part, this.#assembled);
    this.#assembled += part.length;
    if ((flags & SLICE_LAST) === 0) return;
    if (this.#assembled !== assembly.length) throw new LinkGarbage('control frame cut short');
    this.#assembly = null;
    this.#port.control(assembly);
  }

  #takeHello(body: Uint8Array): void {
    if (this.#connection !== Connection.Greeting) throw new LinkGarbage('a second greeting');
    const hello = parseHello(body);
    if (hello.index !== this.#options.peerIndex) {
      throw new LinkGarbage(`container ${hello.index} speaks where ${this.#options.peerIndex} should`);
    }
    const [least, most] = hello.speaks ?? [1, 1];
    const version = Math.min(most, this.#speaks[1]);
    if (version < Math.max(least, this.#speaks[0])) {
      const reason = `it speaks versions ${least} to ${most} of the protocol, the other ${this.#speaks.join(' to ')}`;
      this.#writeAlone(LinkKind.Goodbye, Buffer.from(reason));
      throw new LinkGarbage(reason);
    }
    const resumes =
      version === this.#version && hello.yours === this.#session && hello.session === this.#peer?.session;
    if (resumes) {
      this.#ipc.resume(hello.received[0]);
      this.#control.resume(hello.received[1]);
    } else {
      const reason =
        this.#peer !== null && this.#peer.incarnation !== hello.incarnation
          ? 'it was started anew'
          : 'it had given up the session';
      this.#end(reason);
      this.#peer = { session: hello.session, incarnation: hello.incarnation };
      this.#version = version;
    }
    this.#connection = Connection.Adopted;
    this.#writeAlone(LinkKind.Welcome, EMPTY);
  }

  #takeWelcome(): void {
    if (this.#connection !== Connection.Adopted) throw new LinkGarbage('welcome before the greeting');
    this.#connection = Connection.Open;
    if (!this.#isUp) {
      this.#isUp = true;
      this.#port.up(this.#peer!.incarnation, this.#version);
    }
    this.#port.wantsFlush();
  }

  // ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Gives the session up; the next connection begins a new one. */
  lose(reason: string): void {
    this.#session = this.#options.newSessionId();
    const isConnected = this.#connection !== Connection.None;
    this.#connection = Connection.None;
    this.#end(reason);
    if (isConnected) this.#port.disconnect(reason);
  }

  /** Asks the peer to dial anew. False: it cannot be asked now, or is too old to understand. */
  askRenewal(): boolean {
    if (this.#connection !== Connection.Open || this.#version < RENEWAL_SINCE) return false;
    this.#writeAlone(LinkKind.Renew, EMPTY);
    return true;
  }

  /** As lose, telling the peer. */
  goodbye(reason: string): void {
    if (this.#connection === Connection.Open) {
      this.flush();
      this.#writeAlone(LinkKind.Goodbye, Buffer.from(reason).subarray(0, 1_024));
    }
    this.lose(reason);
  }

  #end(reason: string): void {
    const wasUp = this.#isUp;
    this.#isUp = false;
    this.#peer = null;
    this.#ipc = new Lane(LinkKind.Ipc);
    this.#control = new Lane(LinkKind.Control);
    this.#toSlice = [];
    this.#toSliceBytes = 0;
    this.#assembly = null;
    this.#isCongested = false;
    if (wasUp) this.#port.lost(reason);
  }
}

const EMPTY = Buffer.alloc(0);

function parseHello(body: Uint8Array): Hello {
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'));
  } catch {
    throw new LinkGarbage('a greeting that is not JSON');
  }
  const hello = parsed as Partial<Hello> | null;
  const isSequence = (value: unknown): value is number =>
    typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff;
  const isRange = (value: unknown): boolean =>
    value === undefined || (Array.isArray(value) && value.length === 2 && value.every(isSequence));
  if (
    typeof hello !== 'object' ||
    hello === null ||
    typeof hello.index !== 'number' ||
    typeof hello.incarnation !== 'string' ||
    typeof hello.session !== 'string' ||
    !(hello.yours === null || typeof hello.yours === 'string') ||
    !Array.isArray(hello.received) ||
    hello.received.length !== 2 ||
    !hello.received.every(isSequence) ||
    !isRange(hello.speaks)
  ) {
    throw new LinkGarbage('a greeting that is not one');
  }
  return hello as Hello;
}
