import { ANY, type Endpoint, isEndpoint, isSystemEndpoint } from './endpoint.js';
import {
  E2BIG,
  EAGAIN,
  EBADSRCDST,
  EDEADSRCDST,
  EINVAL,
  EMIGRATE,
  ENOTBIND,
  EPERM,
  OK,
  SUSPENDED,
} from './errors.js';
import {
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
/** Grants of one process. */
const MAX_GRANTS_PER_PROCESS = 65_536;
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
}

/**
 * Grants, and copies through them: at once where the granter is here, else in chunks of which a window is under way.
 * A granter that is being moved makes its copies wait, and they follow it.
 */
export class Copies {
  readonly #parts: Parts;
  readonly underWay = new Map<number, Copy>();
  #nextCopy = 1;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  grantDirect(owner: Endpoint, to: Endpoint, memory: GrantMemory, access: number): number {
    const granter = this.#parts.table.find(owner);
    if (granter === undefined) return EBADSRCDST;
    if (granter.grants.size >= MAX_GRANTS_PER_PROCESS) return EAGAIN;
    if ((access & ~(GRANT_READ | GRANT_WRITE)) !== 0 || access === 0) return EINVAL;
    const id = granter.nextGrant;
    granter.nextGrant = id >= 0x7fff_ffff ? 1 : id + 1;
    if (granter.grants.has(granter.nextGrant)) return EAGAIN;
    granter.grants.set(id, { to, access, memory });
    return id;
  }

  revoke(owner: Endpoint, id: number): number {
    const granter = this.#parts.table.find(owner);
    if (granter === undefined) return EBADSRCDST;
    return granter.grants.delete(id) ? OK : EINVAL;
  }

  copy(
    by: Endpoint,
    granter: Endpoint,
    grant: number,
    offset: number,
    bytes: Uint8Array,
    isWrite: boolean,
    done: CopyDone,
  ): number {
    const copier = this.#parts.table.find(by);
    if (copier === undefined || !isEndpoint(granter)) return EBADSRCDST;
    if (copier.isFrozen) return EMIGRATE;
    if (bytes.length > MAX_COPY_BYTES) return E2BIG;
    if (!Number.isInteger(offset) || offset < 0 || offset > 0xffff_ffff) return EINVAL;
    const local = this.#parts.table.find(granter);
    if (local !== undefined && !local.isFrozen)
      return copyWithGrant(local, by, grant, offset, bytes, isWrite);
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

  #pump(copy: Copy): void {
    while (copy.next < copy.bytes.length && copy.underWay.size < COPY_WINDOW && this.underWay.has(copy.id)) {
      const at = copy.next;
      copy.next += Math.min(COPY_CHUNK_BYTES, copy.bytes.length - at);
      copy.underWay.add(at);
      this.#sendChunk(copy, at);
    }
  }

  #sendChunk(copy: Copy, at: number): void {
    const length = Math.min(COPY_CHUNK_BYTES, copy.bytes.length - at);
    const kind = copy.isWrite ? FrameKind.CopyTo : FrameKind.CopyFrom;
    const { by, granter, grant, id } = copy;
    const extra = copy.isWrite ? length : 0;
    const frame = makeFrame(
      kind,
      0,
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
    const place = this.#parts.places.transmit(granter, frame);
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
        this.end(
          copy,
          copyWithGrant(local, copy.by.endpoint, copy.grant, copy.offset, copy.bytes, copy.isWrite),
        );
      }
    }
  }

  serve(peer: number, frame: Uint8Array, granter: LocalProcess): void {
    const grant = readInt(frame, 20);
    const offset = readUnsigned(frame, 24);
    const length = readUnsigned(frame, 28);
    const by = sourceOf(frame);
    if (kindOf(frame) === FrameKind.CopyTo) {
      const bytes = frame.subarray(HEADER_BYTES);
      this.answer(peer, frame, copyWithGrant(granter, by, grant, offset, bytes, true), NO_BYTES);
      return;
    }
    const region =
      length > COPY_CHUNK_BYTES ? EINVAL : grantedRegion(granter, by, grant, offset, length, GRANT_READ);
    if (typeof region === 'number') this.answer(peer, frame, region, NO_BYTES);
    else this.answer(peer, frame, OK, region);
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
      const length = Math.min(COPY_CHUNK_BYTES, copy.bytes.length - at);
      const frame = makeFrame(
        copy.isWrite ? FrameKind.CopyTo : FrameKind.CopyFrom,
        0,
        copy.by.endpoint,
        copy.granter,
        copy.id,
        copy.by.epoch,
        copy.grant,
        copy.offset + at,
        length,
        copy.isWrite ? length : 0,
      );
      if (copy.isWrite) frame.set(copy.bytes.subarray(at, at + length), HEADER_BYTES);
      copy.sentTo = LOCATING;
      this.#parts.places.transmit(copy.granter, frame, peer, before?.epoch ?? 0);
    }
  }
}

/** The bytes that `by` may touch, or a status. */
function grantedRegion(
  granter: LocalProcess,
  by: number,
  id: number,
  offset: number,
  length: number,
  access: number,
): Uint8Array | number {
  const grant = granter.grants.get(id);
  if (grant === undefined || (grant.to !== by && grant.to !== ANY) || (grant.access & access) === 0)
    return EPERM;
  const { memory } = grant;
  if (offset + length > memory.length) return EINVAL;
  const bytes = memory.bytes();
  const start = memory.offset + offset;
  return start + length > bytes.length ? EINVAL : bytes.subarray(start, start + length);
}

function copyWithGrant(
  granter: LocalProcess,
  by: number,
  id: number,
  offset: number,
  bytes: Uint8Array,
  isWrite: boolean,
): number {
  const region = grantedRegion(granter, by, id, offset, bytes.length, isWrite ? GRANT_WRITE : GRANT_READ);
  if (typeof region === 'number') return region;
  if (isWrite) region.set(bytes);
  else bytes.set(region);
  return OK;
}
