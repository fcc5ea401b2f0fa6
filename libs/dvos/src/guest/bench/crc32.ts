import { print } from "../lib/wasi";
// CRC-32 by table of 1 MiB, 30 times: a dependent chain of loads.
export function _start(): void {
  const table = new StaticArray<u32>(256);
  for (let i = 0; i < 256; i++) {
    let c: u32 = i;
    for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >> 1) : c >> 1;
    unchecked((table[i] = c));
  }
  const size = 1 << 20;
  const data = new StaticArray<u8>(size);
  for (let i = 0; i < size; i++) unchecked((data[i] = <u8>(i * 31 + (i >> 8))));
  let crc: u32 = 0xffffffff;
  for (let round = 0; round < 30; round++)
    for (let i = 0; i < size; i++) crc = unchecked(table[(crc ^ data[i]) & 255]) ^ (crc >> 8);
  print((~crc).toString());
}
