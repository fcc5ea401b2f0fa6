/** A binary heap of what waits for a time; the earliest is at the top. Entries that no longer matter are skipped by the owner. */
export interface Sleeper {
  /** In the clock of the heap's owner, ms. */
  alarmAt: number;
  /** Index in the heap, -1 when it is not there; kept by the heap so that removal is O(log n). */
  heapIndex: number;
}

export class Sleepers<S extends Sleeper> {
  readonly #heap: S[] = [];

  get size(): number {
    return this.#heap.length;
  }

  peek(): S | undefined {
    return this.#heap[0];
  }

  add(sleeper: S): void {
    sleeper.heapIndex = this.#heap.length;
    this.#heap.push(sleeper);
    this.#up(sleeper.heapIndex);
  }

  remove(sleeper: S): void {
    const index = sleeper.heapIndex;
    if (index < 0) return;
    const last = this.#heap.pop()!;
    sleeper.heapIndex = -1;
    if (last === sleeper) return;
    this.#heap[index] = last;
    last.heapIndex = index;
    this.#up(index);
    this.#down(last.heapIndex);
  }

  #up(start: number): void {
    const heap = this.#heap;
    let index = start;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (heap[parent].alarmAt <= heap[index].alarmAt) return;
      this.#swap(parent, index);
      index = parent;
    }
  }

  #down(start: number): void {
    const heap = this.#heap;
    let index = start;
    for (;;) {
      let least = index;
      for (let child = 2 * index + 1; child <= 2 * index + 2; child++) {
        if (child < heap.length && heap[child].alarmAt < heap[least].alarmAt) least = child;
      }
      if (least === index) return;
      this.#swap(least, index);
      index = least;
    }
  }

  #swap(a: number, b: number): void {
    const heap = this.#heap;
    [heap[a], heap[b]] = [heap[b], heap[a]];
    heap[a].heapIndex = a;
    heap[b].heapIndex = b;
  }
}
