import { print } from "../lib/wasi";
// Product of two 360 x 360 matrices: three nested loops, loads and stores.
const N = 360;
export function _start(): void {
  const a = new StaticArray<f64>(N * N), b = new StaticArray<f64>(N * N), c = new StaticArray<f64>(N * N);
  for (let i = 0; i < N * N; i++) {
    unchecked((a[i] = <f64>(i % 7) - 3));
    unchecked((b[i] = <f64>(i % 11) * 0.5));
  }
  for (let i = 0; i < N; i++)
    for (let j = 0; j < N; j++) {
      let sum: f64 = 0;
      for (let k = 0; k < N; k++) sum += unchecked(a[i * N + k] * b[k * N + j]);
      unchecked((c[i * N + j] = sum));
    }
  let trace: f64 = 0;
  for (let i = 0; i < N; i++) trace += unchecked(c[i * N + i]);
  print(trace.toString());
}
