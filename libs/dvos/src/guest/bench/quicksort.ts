import { print } from "../lib/wasi";
// Quicksort of a million numbers through a comparison function: recursion and indirect calls.
function sort(a: StaticArray<i32>, low: i32, high: i32, compare: (x: i32, y: i32) => i32): void {
  while (low < high) {
    const pivot = unchecked(a[(low + high) >>> 1]);
    let i = low, j = high;
    while (i <= j) {
      while (compare(unchecked(a[i]), pivot) < 0) i++;
      while (compare(unchecked(a[j]), pivot) > 0) j--;
      if (i <= j) {
        const t = unchecked(a[i]);
        unchecked((a[i] = a[j]));
        unchecked((a[j] = t));
        i++;
        j--;
      }
    }
    sort(a, low, j, compare);
    low = i;
  }
}
export function _start(): void {
  const n = 1000000;
  const a = new StaticArray<i32>(n);
  let seed: u32 = 12345;
  for (let i = 0; i < n; i++) {
    seed = seed * 1664525 + 1013904223;
    unchecked((a[i] = <i32>(seed >> 4)));
  }
  sort(a, 0, n - 1, (x: i32, y: i32): i32 => (x < y ? -1 : x > y ? 1 : 0));
  let sum: i64 = 0;
  for (let i = 0; i < n; i += 1000) sum += <i64>a[i] * i;
  print(sum.toString());
}
