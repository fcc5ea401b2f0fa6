/**
 * Does the work for each of these, in their order, so many at once at most. After a failure nothing more begins; it is
 * thrown when all that had begun has come to its end.
 */
export async function eachAtMost<T>(
  most: number,
  items: Iterable<T>,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = [...items];
  const failures: unknown[] = [];
  const workers = Array.from({ length: Math.min(most, queue.length) }, async () => {
    while (queue.length > 0 && failures.length === 0) {
      await work(queue.shift() as T).catch((error: unknown) => failures.push(error));
    }
  });
  await Promise.all(workers);
  if (failures.length > 0) throw failures[0];
}
