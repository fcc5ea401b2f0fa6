import { print } from "../lib/wasi";
// SHA-256 (FIPS 180-4) of 12 MiB: 32-bit arithmetic in loops of 64 rounds.
const K: StaticArray<u32> = new StaticArray<u32>(64);
const W: StaticArray<u32> = new StaticArray<u32>(64);
const H: StaticArray<u32> = new StaticArray<u32>(8);

function isPrime(n: i32): bool {
  for (let i = 2; i * i <= n; i++) if (n % i == 0) return false;
  return true;
}
function prepare(): void {
  let found = 0;
  for (let n = 2; found < 64; n++) {
    if (!isPrime(n)) continue;
    const cube = Math.cbrt(<f64>n), root = Math.sqrt(<f64>n);
    unchecked((K[found] = <u32>((cube - Math.floor(cube)) * 4294967296)));
    if (found < 8) unchecked((H[found] = <u32>((root - Math.floor(root)) * 4294967296)));
    found++;
  }
}
function block(data: StaticArray<u8>, at: i32): void {
  for (let i = 0; i < 16; i++) unchecked((W[i] = bswap(load<u32>(changetype<usize>(data) + at + i * 4))));
  for (let i = 16; i < 64; i++) {
    const x = unchecked(W[i - 15]), y = unchecked(W[i - 2]);
    const s0 = rotr(x, 7) ^ rotr(x, 18) ^ (x >> 3), s1 = rotr(y, 17) ^ rotr(y, 19) ^ (y >> 10);
    unchecked((W[i] = W[i - 16] + s0 + W[i - 7] + s1));
  }
  let a = unchecked(H[0]), b = unchecked(H[1]), c = unchecked(H[2]), d = unchecked(H[3]);
  let e = unchecked(H[4]), f = unchecked(H[5]), g = unchecked(H[6]), h = unchecked(H[7]);
  for (let i = 0; i < 64; i++) {
    const t1 = h + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + ((e & f) ^ (~e & g)) + unchecked(K[i] + W[i]);
    const t2 = (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g; g = f; f = e; e = d + t1; d = c; c = b; b = a; a = t1 + t2;
  }
  unchecked((H[0] += a)); unchecked((H[1] += b)); unchecked((H[2] += c)); unchecked((H[3] += d));
  unchecked((H[4] += e)); unchecked((H[5] += f)); unchecked((H[6] += g)); unchecked((H[7] += h));
}
export function _start(): void {
  prepare();
  const size = 1 << 20;
  const data = new StaticArray<u8>(size);
  for (let i = 0; i < size; i++) unchecked((data[i] = <u8>(i * 7 + (i >> 9))));
  for (let round = 0; round < 12; round++) for (let at = 0; at < size; at += 64) block(data, at);
  let text = "";
  for (let i = 0; i < 8; i++) text += unchecked(H[i]).toString(16).padStart(8, "0");
  print(text);
}
