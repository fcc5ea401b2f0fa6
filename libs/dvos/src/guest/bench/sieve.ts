import { print } from "../lib/wasi";
// The sieve of Eratosthenes up to 8 million, five times: short innermost loops over memory.
export function _start(): void {
  const n = 8000000;
  const composite = new StaticArray<u8>(n + 1);
  let count = 0;
  for (let round = 0; round < 5; round++) {
    memory.fill(changetype<usize>(composite), 0, n + 1);
    count = 0;
    for (let i = 2; i <= n; i++) {
      if (unchecked(composite[i])) continue;
      count++;
      for (let j = <i64>i * i; j <= n; j += i) unchecked((composite[<i32>j] = 1));
    }
  }
  print(count.toString());
}
