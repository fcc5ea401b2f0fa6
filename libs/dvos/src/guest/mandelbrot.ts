// mandelbrot [COLUMNS [ROWS [ITERATIONS]]]: draws the Mandelbrot set in characters, a line at a time.
import { numberArgument, print } from "./lib/wasi";

const SHADES = " .:-=+*#%@";

function iterations(x: f64, y: f64, limit: i32): i32 {
  let a: f64 = 0, b: f64 = 0;
  for (let i = 0; i < limit; i++) {
    const aa = a * a, bb = b * b;
    if (aa + bb > 4) return i;
    b = 2 * a * b + y;
    a = aa - bb + x;
  }
  return limit;
}

export function _start(): void {
  const columns = <i32>min<i64>(1000, max<i64>(1, numberArgument(1, 78)));
  const rows = <i32>min<i64>(1000, max<i64>(1, numberArgument(2, 32)));
  const limit = <i32>min<i64>(1000000000, max<i64>(1, numberArgument(3, 1000)));
  for (let row = 0; row < rows; row++) {
    let line = "";
    const y = (<f64>row + 0.5) / <f64>rows * 2.4 - 1.2;
    for (let column = 0; column < columns; column++) {
      const x = (<f64>column + 0.5) / <f64>columns * 3.2 - 2.2;
      const n = iterations(x, y, limit);
      const shade = n >= limit ? SHADES.length - 1 : n % (SHADES.length - 1);
      line += SHADES.charAt(shade);
    }
    print(line.trimEnd());
  }
}
