import { type Endpoint, isEndpoint, isServerEndpoint, isSystemEndpoint } from './endpoint.js';
import {
  E2BIG,
  EAGAIN,
  EBADSRCDST,
  EDEADSRCDST,
  EINVAL,
  ELOOP,
  EMIGRATE,
  ENOTBIND,
  EPERM,
  OK,
  SUSPENDED,
} from './errors.js';
import {
  COPY_MAGIC,
  epochOf,
  FrameKind,
  HEADER_BYTES,
  kindOf,
  makeFrame,
  readInt,
  readUnsigned,
  sequenceOf,
  sourceOf,
  targetOf,
} from './frame.js';
import { grantFor, regionOf } from './grants.js';
import { LOCATING, type LocalProcess, NO_BYTES } from './local-process.js';
import { GRANT_READ, GRANT_WRITE, type GrantMemory } from './owner.js';
import type { Parts } from './parts.js';
import { UNREACHABLE } from './places.js';

export type CopyDone = (status: number) => void;

/** Bytes of one safecopy at most. */
export const MAX_COPY_BYTES = 16 * 1024 * 1024;
/** Bytes of a copy per frame. */
const COPY_CHUNK_BYTES = 65_536;
/** Chunks of one copy under way at a time. */
const COPY_WINDOW = 8;
/** Copies that one process may have under way. */
const MAX_COPIES_PER_PROCESS = 64;
/** A grant handed on by this many in a row leads nowhere (MINIX MAX_INDIRECT_DEPTH). */
const MAX_INDIRECTIONS = 5;
/** Elements of a vector (MINIX SCPVEC_NR). */
export const MAX_COPY_VECTOR = 64;
/** A copy chased a migrating granter this often: something is wrong. */
const MAX_COPY_REPLAYS = 1_024;

interface Copy {
  id: number;
  by: LocalProcess;
  granter: Endpoint;
  grant: number;
  offset: number;
  /** Read into, or written from. */
  bytes: Uint8Array;
  isWrite: boolean;
  done: CopyDone;
  next: number;
  underWay: Set<number>;
  sentTo: number;
  replays: number;
  /** Of its frames: how often the grant was handed on, and COPY_MAGIC. */
  flags: number;
}

/** One copy of a vector. */
export interface CopyElement {
  readonly granter: Endpoint;
  readonly grant: number;
  readonly offset: number;
  /** Filled, or (isWrite) written from. The kernel's until the vector is done. */
  readonly bytes: Uint8Array;
  readonly isWrite: boolean;
}

/**
 * Copies through grants: at once where the granter is here, else in chunks of which a window is under way.
 * A granter that is being moved makes its copies wait, and they follow it. A grant that was handed on is used by the
 * kernel of the one who handed it on, in that one's name: so its granter need not believe anybody else.
 */
export class Copies {
  readonly #parts: Parts;
  readonly underWay = new Map<number, Copy>();
  #nextCopy = 1;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Several copies as one. The first that fails is told, when all that were begun have ended. */
  copyVector(by: Endpoint, vector: readonly CopyElement[], done: CopyDone): number {
    if (vector.length > MAX_COPY_VECTOR) return E2BIG;
    if (vector.reduce((sum, { bytes }) => sum + bytes.length, 0) > MAX_COPY_BYTES) return E2BIG;
    let result = OK;
    let underWay = 0;
    let isBegun = false;
    const ended = (status: number) => {
      underWay--;
      if (result === OK) result = status;
      if (isBegun && underWay === 0) done(result);
    };
    for (const { granter, grant, offset, bytes, isWrite } of vector) {
      underWay++;
      const status = this.copy(by, granter, grant, offset, bytes, isWrite, ended);
      if (status === SUSPENDED) continue;
      ended(status);
      if (status !== OK) break;
    }
    isBegun = true;
    return underWay > 0 ? SUSPENDED : result;
  }

  copy(
    by: Endpoint,
    granter: Endpoint,
    grant: number,
    offset: number,
    bytes: Uint8Array,
    isWrite: boolean,
    done: CopyDone,
    flags = 0,
  ): number {
    const copier = this.#parts.table.find(by);
    if (copier === undefined || !isEndpoint(granter)) return EBADSRCDST;
    if (copier.isFrozen) return EMIGRATE;
    if (bytes.length > MAX_COPY_BYTES) return E2BIG;
    if (!Number.isInteger(offset) || offset < 0 || offset > 0xffff_ffff) return EINVAL;
    const local = this.#parts.table.find(granter);
    if (local !== undefined && !local.isFrozen)
      return this.#copyHere(local, by, grant, offset, bytes, isWrite, done, flags);
    if (bytes.length === 0) return OK;
    if (copier.copies >= MAX_COPIES_PER_PROCESS) return EAGAIN;
    const id = this.#nextCopy;
    this.#nextCopy = id >= 0xffff_ffff ? 1 : id + 1;
    if (this.underWay.has(id)) return EAGAIN;
    const copy: Copy = {
      id,
      by: copier,
      granter,
      grant,
      offset,
      bytes,
      isWrite,
      done,
      next: 0,
      underWay: new Set(),
      sentTo: local === undefined ? LOCATING : this.#parts.index,
      replays: 0,
      flags,
    };
    if (local === undefined) {
      const place = this.#parts.places.directory.indexOf(granter);
      if (place === undefined && !this.#parts.places.mayAskHome()) return EDEADSRCDST;
      const isHere = place === this.#parts.index && this.#parts.table.arriving.has(granter);
      if (place !== undefined && !isHere && !this.#parts.places.up.has(place)) return EDEADSRCDST;
    }
    this.underWay.set(id, copy);
    copier.copies++;
    if (local === undefined) this.#pump(copy);
    return SUSPENDED;
  }

  /** The granter is here. SUSPENDED: its grant leads elsewhere. */
  #copyHere(
    granter: LocalProcess,
    by: Endpoint,
    id: number,
    offset: number,
    bytes: Uint8Array,
    isWrite: boolean,
    done: CopyDone,
    flags: number,
  ): number {
    if ((flags & COPY_MAGIC) !== 0)
      return copyMemory(ownMemory(granter, offset, bytes.length), 0, bytes, isWrite);
    const grant = grantFor(granter, by, id, isWrite ? GRANT_WRITE : GRANT_READ);
    if (grant === undefined) return EPERM;
    if ('memory' in grant) return copyMemory(grant.memory, offset, bytes, isWrite);
    const self = granter.endpoint;
    if ('subject' in grant) {
      if (offset + bytes.length > grant.length) return EINVAL;
      return this.copy(self, grant.subject, 0, grant.offset + offset, bytes, isWrite, done, COPY_MAGIC);
    }
    if (flags >= MAX_INDIRECTIONS) return ELOOP;
    return this.copy(self, grant.from, grant.grant, offset, bytes, isWrite, done, flags + 1);
  }

  #pump(copy: Copy): void {
    while (copy.next < copy.bytes.length && copy.underWay.size < COPY_WINDOW && this.underWay.has(copy.id)) {
      const at = copy.next;
      copy.next += Math.min(COPY_CHUNK_BYTES, copy.bytes.length - at);
      copy.underWay.add(at);
      this.#sendChunk(copy, at);
    }
  }

  #chunkFrame(copy: Copy, at: number): Uint8Array {
    const length = Math.min(COPY_CHUNK_BYTES, copy.bytes.length - at);
    const kind = copy.isWrite ? FrameKind.CopyTo : FrameKind.CopyFrom;
    const { by, granter, grant, id, flags } = copy;
    const extra = copy.isWrite ? length : 0;
    const frame = makeFrame(
      kind,
      flags,
      by.endpoint,
      granter,
      id,
      by.epoch,
      grant,
      copy.offset + at,
      length,
      extra,
    );
    if (copy.isWrite) frame.set(copy.bytes.subarray(at, at + length), HEADER_BYTES);
    return frame;
  }

  #sendChunk(copy: Copy, at: number): void {
    const place = this.#parts.places.transmit(copy.granter, this.#chunkFrame(copy, at));
    if (place === UNREACHABLE) this.end(copy, EDEADSRCDST);
    else copy.sentTo = place;
  }

  end(copy: Copy, status: number): void {
    if (!this.underWay.delete(copy.id)) return;
    copy.by.copies--;
    copy.done(status);
  }

  /** The granter of copies that waited here has thawed, or moved. */
  resume(granter: Endpoint): void {
    const local = this.#parts.table.find(granter);
    for (const copy of [...this.underWay.values()]) {
      if (copy.granter !== granter || copy.sentTo !== this.#parts.index) continue;
      if (local === undefined) {
        copy.next = 0;
        copy.underWay.clear();
        this.#pump(copy);
      } else if (!local.isFrozen) {
        const { by, grant, offset, bytes, isWrite, flags } = copy;
        // (Its end comes once: here, or from the copy that this one has become.)
        const done = (status: number) => this.end(copy, status);
        copy.sentTo = LOCATING;
        const status = this.#copyHere(local, by.endpoint, grant, offset, bytes, isWrite, done, flags);
        if (status !== SUSPENDED) this.end(copy, status);
      }
    }
  }

  serve(peer: number, frame: Uint8Array, granter: LocalProcess): void {
    const grant = readInt(frame, 20);
    const offset = readUnsigned(frame, 24);
    const length = readUnsigned(frame, 28);
    const by = sourceOf(frame) as Endpoint;
    const isWrite = kindOf(frame) === FrameKind.CopyTo;
    const flags = frame[1]!;
    // (Only home speaks for servers.)
    if ((flags & COPY_MAGIC) !== 0 && !isServerEndpoint(by)) {
      this.answer(peer, frame, EPERM, NO_BYTES);
      return;
    }
    if (!isWrite && length > COPY_CHUNK_BYTES) {
      this.answer(peer, frame, EINVAL, NO_BYTES);
      return;
    }
    const region = isWrite ? undefined : readableRegion(granter, by, grant, offset, length, flags);
    if (region !== undefined) {
      if (typeof region === 'number') this.answer(peer, frame, region, NO_BYTES);
      else this.answer(peer, frame, OK, region);
      return;
    }
    const bytes = isWrite ? frame.subarray(HEADER_BYTES) : new Uint8Array(length);
    const answer = (status: number) =>
      this.answer(peer, frame, status, isWrite || status !== OK ? NO_BYTES : bytes);
    const status = this.#copyHere(granter, by, grant, offset, bytes, isWrite, answer, flags);
    if (status !== SUSPENDED) answer(status);
  }

  answer(
    peer: number,
    frame: Uint8Array,
    status: number,
    bytes: Uint8Array,
    hintIndex = -1,
    hintEpoch = 0,
  ): void {
    if (!this.#parts.places.up.has(peer)) return;
    const answer = makeFrame(
      FrameKind.CopyAnswer,
      0,
      targetOf(frame),
      sourceOf(frame),
      sequenceOf(frame),
      hintEpoch,
      status,
      readUnsigned(frame, 24),
      hintIndex + 1,
      bytes.length,
    );
    answer.set(bytes, HEADER_BYTES);
    this.#parts.places.emit(peer, answer);
  }

  takeAnswer(peer: number, frame: Uint8Array): void {
    const copy = this.underWay.get(sequenceOf(frame));
    const at = copy === undefined ? 0 : readUnsigned(frame, 24) - copy.offset;
    if (
      copy === undefined ||
      copy.by.endpoint !== targetOf(frame) ||
      copy.granter !== sourceOf(frame) ||
      !copy.underWay.has(at)
    ) {
      this.#parts.counters.framesDropped++;
      return;
    }
    const place = this.#parts.places.directory.indexOf(copy.granter);
    if (peer !== copy.sentTo && peer !== place) {
      this.#parts.counters.framesDropped++;
      return;
    }
    const status = readInt(frame, 20);
    if (status === EMIGRATE || status === ENOTBIND) {
      this.#replayChunk(copy, at, peer, status, readUnsigned(frame, 28) - 1, epochOf(frame));
      return;
    }
    if (status !== OK) {
      this.end(copy, status > 0 ? EINVAL : status);
      return;
    }
    if (!copy.isWrite) {
      const bytes = frame.subarray(HEADER_BYTES);
      if (bytes.length !== Math.min(COPY_CHUNK_BYTES, copy.bytes.length - at)) {
        this.end(copy, EINVAL);
        return;
      }
      copy.bytes.set(bytes, at);
    }
    copy.underWay.delete(at);
    if (copy.next >= copy.bytes.length && copy.underWay.size === 0) this.end(copy, OK);
    else this.#pump(copy);
  }

  #replayChunk(
    copy: Copy,
    at: number,
    peer: number,
    status: number,
    hintIndex: number,
    hintEpoch: number,
  ): void {
    const before = this.#parts.places.directory.get(copy.granter);
    if (status === EMIGRATE) this.#parts.places.learn(copy.granter, hintIndex, hintEpoch, peer);
    const place = this.#parts.places.directory.indexOf(copy.granter);
    const local = this.#parts.table.find(copy.granter);
    if (++copy.replays > MAX_COPY_REPLAYS) {
      this.end(copy, EDEADSRCDST);
    } else if (local !== undefined) {
      copy.sentTo = this.#parts.index;
      this.resume(copy.granter);
    } else if (place !== undefined && place !== peer) {
      this.#sendChunk(copy, at);
    } else if (isSystemEndpoint(copy.granter) || !this.#parts.places.mayAskHome()) {
      this.end(copy, EDEADSRCDST);
    } else {
      copy.sentTo = LOCATING;
      this.#parts.places.transmit(copy.granter, this.#chunkFrame(copy, at), peer, before?.epoch ?? 0);
    }
  }
}

/** The bytes to read, or a status; undefined where the grant leads elsewhere. */
function readableRegion(
  granter: LocalProcess,
  by: Endpoint,
  id: number,
  offset: number,
  length: number,
  flags: number,
): Uint8Array | number | undefined {
  if ((flags & COPY_MAGIC) !== 0) {
    const memory = ownMemory(granter, offset, length);
    return memory === undefined ? EPERM : regionOf(memory, 0, length);
  }
  const grant = grantFor(granter, by, id, GRANT_READ);
  if (grant === undefined) return EPERM;
  return 'memory' in grant ? regionOf(grant.memory, offset, length) : undefined;
}

const ownMemory = (process: LocalProcess, offset: number, length: number): GrantMemory | undefined =>
  process.owner.grantMemory?.(process.endpoint, offset, length);

function copyMemory(
  memory: GrantMemory | undefined,
  offset: number,
  bytes: Uint8Array,
  isWrite: boolean,
): number {
  const region = memory === undefined ? EPERM : regionOf(memory, offset, bytes.length);
  if (typeof region === 'number') return region;
  if (isWrite) region.set(bytes);
  else bytes.set(region);
  return OK;
}
