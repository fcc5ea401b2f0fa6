import { print } from "../lib/wasi";
// Splits a text into words and counts them in a map: strings, allocation, hashing, branches.
export function _start(): void {
  const syllables = ["ka", "lo", "mi", "tu", "ren", "sa", "vo", "pel"];
  let seed: u32 = 99;
  let total = 0;
  const counts = new Map<string, i32>();
  for (let round = 0; round < 60; round++) {
    let text = "";
    for (let i = 0; i < 1500; i++) {
      seed = seed * 1103515245 + 12345;
      text += syllables[(seed >> 16) & 7];
      if (((seed >> 20) & 3) == 0) text += " ";
    }
    let start = 0;
    for (let i = 0; i <= text.length; i++) {
      if (i < text.length && text.charCodeAt(i) != 32) continue;
      if (i > start) {
        const word = text.substring(start, i);
        counts.set(word, (counts.has(word) ? counts.get(word) : 0) + 1);
        total++;
      }
      start = i + 1;
    }
  }
  print(total.toString() + " words, " + counts.size.toString() + " different");
}
