/**
 * Heartbeats that come within a moment, written together: with a thousand nodes one statement writes hundreds of them.
 * Of one node only the newest is written; who brought an older one is answered with it.
 */
const GATHER_MS = 150;
/** A few nodes wait for nobody: only after a batch of more than this the next one is gathered for the whole time. */
const FEW = 8;
const FEW_GATHER_MS = 5;
const BATCH_MAX = 1_000;

interface Waiting<Beat> {
  beat: Beat;
  settle: { resolve(isKnown: boolean): void; reject(error: unknown): void }[];
}

export class HeartbeatBatch<Beat> {
  #waiting = new Map<string, Waiting<Beat>>();
  #wasLarge = false;
  #timer: NodeJS.Timeout | null = null;
  #writing: Promise<void> = Promise.resolve();

  /** @param write answers the ids of the nodes that there are */
  constructor(
    private readonly write: (beats: ReadonlyMap<string, Beat>) => Promise<ReadonlySet<string>>,
    private readonly gatherMs = GATHER_MS,
    private readonly fewGatherMs = FEW_GATHER_MS,
  ) {}

  /** @returns false when there is no such node any more */
  add(nodeId: string, beat: Beat): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const waiting = this.#waiting.get(nodeId);
      if (waiting) {
        waiting.beat = beat;
        waiting.settle.push({ resolve, reject });
      } else {
        this.#waiting.set(nodeId, { beat, settle: [{ resolve, reject }] });
      }
      if (this.#waiting.size >= BATCH_MAX) this.#flush();
      else this.#timer ??= setTimeout(() => this.#flush(), this.#wasLarge ? this.gatherMs : this.fewGatherMs);
    });
  }

  /** One batch after another: an older heartbeat never overwrites a newer one. */
  #flush(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    const batch = this.#waiting;
    this.#wasLarge = batch.size > FEW;
    this.#waiting = new Map();
    this.#writing = this.#writing.then(async () => {
      try {
        const known = await this.write(new Map([...batch].map(([nodeId, { beat }]) => [nodeId, beat])));
        for (const [nodeId, { settle }] of batch)
          for (const { resolve } of settle) resolve(known.has(nodeId));
      } catch (error) {
        for (const { settle } of batch.values()) for (const { reject } of settle) reject(error);
      }
    });
  }
}
