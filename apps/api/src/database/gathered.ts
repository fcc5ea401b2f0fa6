/** Keys in one batch at most: a list in SQL of this length is still planned and answered at once. */
const BATCH_MAX = 256;
/**
 * Where the last batch was shared, others are on their way: the next one waits for them this long. It spares the
 * database and this process most of the statements, and costs nobody more than this.
 */
const GATHER_MS = 1;

interface Waiting<Value> {
  resolve(value: Value | undefined): void;
  reject(error: unknown): void;
}

interface Group<Scope, Value> {
  readonly scope: Scope;
  readonly waiting: Map<string, Waiting<Value>[]>;
  /** A batch is under way, or about to be sent. */
  isBusy: boolean;
  wasShared: boolean;
}

/**
 * Reads of single things that arrive at the same moment, done as one read.
 *
 * Nothing is remembered: a read never joins a batch that has been sent already, so whoever asks sees everything that
 * was committed before. One batch of a scope is under way at a time, and what comes meanwhile is gathered for the next:
 * one caller alone waits for nothing but the turn of the event loop, fifty at once share a query instead of sending
 * fifty. Those who ask for the same key in one batch get the same value, which they must
 * not change.
 */
export class Gathered<Scope, Value> {
  /** One for each scope at most: as many as there are tenants and roles. */
  readonly #groups = new Map<string, Group<Scope, Value>>();

  /** @param read the values of the keys that there are; keys of one group only, each once */
  constructor(
    private readonly read: (scope: Scope, keys: readonly string[]) => Promise<ReadonlyMap<string, Value>>,
  ) {}

  /** @param group names the scope: only what has the same name is gathered. @returns undefined when there is none */
  load(group: string, scope: Scope, key: string): Promise<Value | undefined> {
    let found = this.#groups.get(group);
    if (found === undefined) {
      found = { scope, waiting: new Map(), isBusy: false, wasShared: false };
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
    if (group.isBusy) return;
    if (group.waiting.size === 0) {
      if (!group.wasShared) this.#groups.delete(name);
      return;
    }
    group.isBusy = true;
    const send = (): void => {
      const batch = takeFirst(group.waiting, BATCH_MAX);
      group.wasShared = isShared(batch);
      void this.#answer(group.scope, batch).finally(() => {
        group.isBusy = false;
        this.#schedule(name, group);
      });
    };
    if (group.wasShared && group.waiting.size < BATCH_MAX) setTimeout(send, GATHER_MS);
    // After all sockets that are readable now have been read.
    else setImmediate(send);
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

const isShared = (batch: ReadonlyMap<string, readonly unknown[]>): boolean => {
  if (batch.size !== 1) return batch.size > 1;
  for (const waiting of batch.values()) return waiting.length > 1;
  return false;
};

function takeFirst<T>(from: Map<string, T>, most: number): Map<string, T> {
  const taken = new Map<string, T>();
  for (const [key, value] of from) {
    if (taken.size >= most) break;
    taken.set(key, value);
    from.delete(key);
  }
  return taken;
}
