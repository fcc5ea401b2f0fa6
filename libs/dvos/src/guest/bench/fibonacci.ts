import { print } from "../lib/wasi";
// Doubly recursive Fibonacci numbers: nothing but calls.
function fib(n: i32): i32 {
  return n < 2 ? n : fib(n - 1) + fib(n - 2);
}
export function _start(): void {
  print(fib(36).toString());
}
