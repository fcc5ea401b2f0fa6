import { print } from "../lib/wasi";
// Escape times of a 160 x 120 grid: floating point in an innermost loop.
export function _start(): void {
  let sum: i64 = 0;
  for (let y = 0; y < 120; y++)
    for (let x = 0; x < 160; x++) {
      const cx = <f64>x / 160 * 3.2 - 2.2, cy = <f64>y / 120 * 2.4 - 1.2;
      let a: f64 = 0, b: f64 = 0, n = 0;
      while (n < 4000 && a * a + b * b <= 4) {
        const t = a * a - b * b + cx;
        b = 2 * a * b + cy;
        a = t;
        n++;
      }
      sum += n;
    }
  print(sum.toString());
}
