import { ByteReader, ByteWriter, CodecGarbage } from '../codec/byte-cursor.js';
import { MAX_MEMBER_NAME_BYTES, RIDER_BYTES } from '../membership/membership-frame.js';
import type { MembershipRider } from '../membership/swim.js';
import { DecayingAverage } from './decaying-average.js';

/**
 * What a node knows of the loads of the others: a recent figure of a random part of them, and an old one of none.
 * After MOSIX (Barak, La'adan 1998) and its analysis (Amar, Barak, Drezner, Okun 2009): with every probe of the membership
 * a node tells whom it probes, and is told, its own load and the freshest others that it knows. So the cost of a node
 * does not depend on how many there are, and nobody is asked by all.
 *
 * A record says how old it is, not when it was taken: no clocks are compared. Each who holds it adds the time that it
 * held it; what is spent on the way is not counted.
 */
export interface NodeLoad {
  /** Thousandths of a core. */
  readonly cpuMilli: number;
  readonly memoryMiB: number;
  readonly diskKiBps: number;
  readonly networkKiBps: number;
  readonly ipcPerSecond: number;
  readonly ipcLatencyUs: number;
  /** Parts in ten thousand of the time in which something waited for it (PSI, `some`); 0 where the host does not say. */
  readonly cpuPressure: number;
  readonly memoryPressure: number;
  readonly ioPressure: number;
}

const FIELDS = [
  'cpuMilli',
  'memoryMiB',
  'diskKiBps',
  'networkKiBps',
  'ipcPerSecond',
  'ipcLatencyUs',
  'cpuPressure',
  'memoryPressure',
  'ioPressure',
] as const satisfies readonly (keyof NodeLoad)[];

export interface KnownLoad {
  readonly name: string;
  readonly load: NodeLoad;
  readonly ageMs: number;
}

export interface LoadBoardOptions {
  /** Of this node, as membership knows it. */
  readonly name: string;
  /** Older ones are forgotten, and those of nodes that are gone with them. Default 20,000. */
  readonly ageMaxMs?: number;
  /** Of the averages. Default 4,000. */
  readonly timeConstantMs?: number;
}

const AGE_MAX_MS = 20_000;
const TIME_CONSTANT_MS = 4_000;
/** Of other nodes; the oldest makes room. */
export const MAX_KNOWN_LOADS = 256;
/** What a record without its name takes. */
const RECORD_BYTES = 2 + 4 + 4 * FIELDS.length;
const U32_MAX = 0xffff_ffff;

interface Held {
  readonly load: NodeLoad;
  /** By the clock of this node. */
  readonly takenMs: number;
}

export class LoadBoard implements MembershipRider {
  readonly #name: string;
  readonly #ageMaxMs: number;
  readonly #averages: ReadonlyMap<keyof NodeLoad, DecayingAverage>;
  readonly #others = new Map<string, Held>();
  #own: Held | null = null;
  damaged = 0;

  constructor(options: LoadBoardOptions) {
    this.#name = options.name;
    this.#ageMaxMs = options.ageMaxMs ?? AGE_MAX_MS;
    const timeConstantMs = options.timeConstantMs ?? TIME_CONSTANT_MS;
    this.#averages = new Map(FIELDS.map((field) => [field, new DecayingAverage(timeConstantMs)]));
  }

  /** A sample of this node, taken now. */
  sample(load: NodeLoad, nowMs: number): void {
    const averaged: Partial<Record<keyof NodeLoad, number>> = {};
    for (const [field, average] of this.#averages) {
      average.add(load[field], nowMs);
      averaged[field] = average.value;
    }
    this.#own = { load: averaged as Record<keyof NodeLoad, number>, takenMs: nowMs };
  }

  /** What this node is like, on average of late; null before the first sample. */
  get own(): NodeLoad | null {
    return this.#own?.load ?? null;
  }

  /** The others, freshest first. */
  known(nowMs: number): KnownLoad[] {
    this.#forget(nowMs);
    return [...this.#others]
      .map(([name, { load, takenMs }]) => ({ name, load, ageMs: nowMs - takenMs }))
      .sort((a, b) => a.ageMs - b.ageMs);
  }

  take(bytesMax: number, nowMs: number): Uint8Array {
    const writer = new ByteWriter(RIDER_BYTES);
    let left = bytesMax;
    const put = (name: string, { load, takenMs }: Held): void => {
      left -= RECORD_BYTES + Buffer.byteLength(name);
      if (left < 0) return;
      writer.text(name).u32(Math.min(U32_MAX, Math.max(0, Math.round(nowMs - takenMs))));
      for (const field of FIELDS) writer.u32(Math.min(U32_MAX, Math.max(0, Math.round(load[field]))));
    };
    if (this.#own !== null) put(this.#name, this.#own);
    for (const { name } of this.known(nowMs)) {
      if (left <= 0) break;
      put(name, this.#others.get(name)!);
    }
    return writer.finish();
  }

  receive(bytes: Uint8Array, nowMs: number): void {
    try {
      const reader = new ByteReader(bytes);
      while (reader.left > 0) {
        const name = reader.text(MAX_MEMBER_NAME_BYTES);
        const ageMs = reader.u32();
        const load = Object.fromEntries(FIELDS.map((field) => [field, reader.u32()]));
        this.#learn(name, { load: load as Record<keyof NodeLoad, number>, takenMs: nowMs - ageMs }, nowMs);
      }
    } catch (error) {
      if (!(error instanceof CodecGarbage)) throw error;
      this.damaged++;
    }
  }

  #learn(name: string, held: Held, nowMs: number): void {
    if (name === this.#name || nowMs - held.takenMs > this.#ageMaxMs) return;
    const known = this.#others.get(name);
    if (known !== undefined && held.takenMs <= known.takenMs) return;
    if (known === undefined && this.#others.size >= MAX_KNOWN_LOADS) {
      const oldest = this.known(nowMs).at(-1);
      if (oldest === undefined || nowMs - oldest.ageMs >= held.takenMs) return;
      this.#others.delete(oldest.name);
    }
    this.#others.set(name, held);
  }

  #forget(nowMs: number): void {
    for (const [name, { takenMs }] of this.#others) {
      if (nowMs - takenMs > this.#ageMaxMs) this.#others.delete(name);
    }
  }
}
