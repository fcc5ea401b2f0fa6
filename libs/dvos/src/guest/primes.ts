// primes [LIMIT [STEP]]: counts the primes up to LIMIT (0 or none: without end) by a segmented sieve, and prints a
// line after every STEP numbers. The output depends on the arguments alone, wherever and however it runs.
import { numberArgument, print } from "./lib/wasi";

const SEGMENT: i32 = 1 << 16;
const composite = new StaticArray<u8>(SEGMENT);

/** The small primes whose multiples are struck out, grown as the squares come into reach. */
const small: i64[] = [];
let checkedUpTo: i64 = 1;

function growSmallPrimes(square: i64): void {
  while (checkedUpTo * checkedUpTo < square) {
    checkedUpTo++;
    let isPrime = true;
    for (let i = 0; i < small.length; i++) {
      const p = small[i];
      if (p * p > checkedUpTo) break;
      if (checkedUpTo % p == 0) {
        isPrime = false;
        break;
      }
    }
    if (isPrime) small.push(checkedUpTo);
  }
}

export function _start(): void {
  const limit = numberArgument(1, 0);
  const step = max<i64>(1, numberArgument(2, limit == 0 ? 20000000 : max<i64>(1, limit / 10)));
  let count: i64 = 0;
  let largest: i64 = 0;
  let next = step;
  for (let low: i64 = 2; limit == 0 || low <= limit; low += SEGMENT) {
    const high = limit == 0 ? low + SEGMENT - 1 : min<i64>(low + SEGMENT - 1, limit);
    const size = <i32>(high - low + 1);
    memory.fill(changetype<usize>(composite), 0, SEGMENT);
    growSmallPrimes(high);
    for (let i = 0; i < small.length; i++) {
      const p = small[i];
      if (p * p > high) break;
      let at = max<i64>(p * p, ((low + p - 1) / p) * p) - low;
      for (; at < size; at += p) unchecked((composite[<i32>at] = 1));
    }
    for (let i = 0; i < size; i++) {
      if (!unchecked(composite[i])) {
        count++;
        largest = low + i;
      }
      if (low + i == next) {
        print("up to " + next.toString() + ": " + count.toString() + " primes, the largest is " + largest.toString());
        next += step;
      }
    }
  }
  print("done: " + count.toString() + " primes up to " + limit.toString());
}
