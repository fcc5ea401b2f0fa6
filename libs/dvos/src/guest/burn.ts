// burn ROUNDS: computes ROUNDS million rounds of a generator and prints the last state. Fixed work and fixed output:
// what it takes is the processor time that it is given.
import { numberArgument, print } from "./lib/wasi";

/** Marsaglia's xorshift64 (2003). */
export function _start(): void {
  const rounds = numberArgument(1, 1000);
  let state: u64 = 88172645463325252;
  for (let round: i64 = 0; round < rounds; round++) {
    for (let i = 0; i < 1000000; i++) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
    }
  }
  print(rounds.toString() + " million rounds: " + state.toString());
}
