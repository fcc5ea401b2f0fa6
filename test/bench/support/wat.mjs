import binaryen from 'binaryen';

const { MVP, BulkMemory, SignExt, MutableGlobals } = binaryen.Features;

/** The module of a WebAssembly text. */
export function wat(text) {
  const module = binaryen.parseText(text);
  module.setFeatures(MVP | BulkMemory | SignExt | MutableGlobals);
  const bytes = module.emitBinary();
  module.dispose();
  return bytes;
}

/** `name` called `count` times with constant arguments. */
export const loopOf = (count, call) => `
  (local $i i32)
  (loop $next
    (drop ${call})
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $next (i32.lt_u (local.get $i) (i32.const ${count}))))`;

export const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
