/** Keys in one batch at most: a list in SQL of this length is still planned and answered at once. */
const BATCH_MAX = 256;
/** Batches of one group under way at once; what comes meanwhile is gathered for the next. */
const BATCHES_AT_ONCE = 2;

interface Waiting<Value> {
  resolve(value: Value | undefined): void;
  reject(error: unknown): void;
}

interface Group<Scope, Value> {
  readonly scope: Scope;
  waiting: Map<string, Waiting<Value>[]>;
  underWay: number;
  isScheduled: boolean;
}

/**
 * Reads of single things that arrive at the same moment, done as one read.
 *
 * Nothing is remembered: a read never joins a batch that has been sent already, so whoever asks sees everything that
 * was committed before. One caller alone waits for nothing but the turn of the event loop; fifty at once share a
 * query instead of sending fifty. Those who ask for the same key in one batch get the same value, which they must
 * not change.
 */
export class Gathered<Scope, Value> {
  readonly #groups = new Map<string, Group<Scope, Value>>();

  /** @param read the values of the keys that there are; keys of one group only, each once */
  constructor(
    private readonly read: (scope: Scope, keys: readonly string[]) => Promise<ReadonlyMap<string, Value>>,
  ) {}

  /** @param group names the scope: only what has the same name is gathered. @returns undefined when there is none */
  load(group: string, scope: Scope, key: string): Promise<Value | undefined> {
    let found = this.#groups.get(group);
    if (found === undefined) {
      found = { scope, waiting: new Map(), underWay: 0, isScheduled: false };
      this.#groups.set(group, found);
    }
    const entry = found;
    return new Promise((resolve, reject) => {
      const waiting = entry.waiting.get(key);
      if (waiting === undefined) entry.waiting.set(key, [{ resolve, reject }]);
      else waiting.push({ resolve, reject });
      this.#schedule(group, entry);
    });
  }

  #schedule(name: string, group: Group<Scope, Value>): void {
    if (group.isScheduled || group.underWay >= BATCHES_AT_ONCE || group.waiting.size === 0) return;
    group.isScheduled = true;
    // After all sockets that are readable now have been read.
    setImmediate(() => {
      group.isScheduled = false;
      const batch = takeFirst(group.waiting, BATCH_MAX);
      group.underWay++;
      this.#answer(group.scope, batch).finally(() => {
        group.underWay--;
        if (group.underWay === 0 && group.waiting.size === 0) this.#groups.delete(name);
        else this.#schedule(name, group);
      });
      this.#schedule(name, group);
    });
  }

  async #answer(scope: Scope, batch: ReadonlyMap<string, Waiting<Value>[]>): Promise<void> {
    try {
      const values = await this.read(scope, [...batch.keys()]);
      for (const [key, waiting] of batch) for (const { resolve } of waiting) resolve(values.get(key));
    } catch (error) {
      for (const waiting of batch.values()) for (const { reject } of waiting) reject(error);
    }
  }
}

function takeFirst<T>(from: Map<string, T>, most: number): Map<string, T> {
  const taken = new Map<string, T>();
  for (const [key, value] of from) {
    if (taken.size >= most) break;
    taken.set(key, value);
    from.delete(key);
  }
  return taken;
}
