// pi [DIGITS]: prints the digits of pi, 50 on a line, by the spigot of Rabinowitz and Wagon (1995).
// Memory grows with the digits, time with their square: 20,000 digits take some seconds.
import { numberArgument, print, writeText, STDOUT } from "./lib/wasi";

const PER_LINE = 50;
let line = "";

function put(digit: i32): void {
  line += String.fromCharCode(48 + digit);
  if (line.length == PER_LINE) {
    print(line);
    line = "";
  }
}

export function _start(): void {
  const digits = <i32>min<i64>(10000000, max<i64>(1, numberArgument(1, 1000)));
  const length = <i32>((<i64>digits * 10) / 3) + 16;
  const remainders = new StaticArray<u32>(length);
  for (let i = 0; i < length; i++) remainders[i] = 2;
  let held = -1; // a digit that a later carry may still change
  let nines = 0;
  let printed = 0;
  while (printed < digits) {
    let carry: i64 = 0;
    for (let i = length - 1; i > 0; i--) {
      const x = <i64>unchecked(remainders[i]) * 10 + carry * (i + 1);
      const divisor: i64 = 2 * i + 1;
      unchecked((remainders[i] = <u32>(x % divisor)));
      carry = x / divisor;
    }
    const x = <i64>remainders[0] * 10 + carry;
    remainders[0] = <u32>(x % 10);
    const digit = <i32>(x / 10);
    if (digit == 9) {
      nines++;
      continue;
    }
    const extra = digit == 10 ? 1 : 0;
    if (held >= 0 && printed < digits) {
      put(held + extra);
      printed++;
    }
    for (; nines > 0; nines--)
      if (printed < digits) {
        put(extra == 1 ? 0 : 9);
        printed++;
      }
    held = extra == 1 ? 0 : digit;
  }
  if (line.length > 0) writeText(STDOUT, line + "\n");
}
