import binaryen from 'binaryen';
import { BinaryReader, BinaryWriter } from './binary.js';
import { DRVS_MODULE, STACK_MEMORY } from './imports.js';
import { external } from './module.js';

/**
 * Lets the code unwind and rewind its stack (Binaryen's Asyncify), into a second memory that is imported: the guest
 * can neither overwrite it nor run into it, and all processes of a thread share one, a slot each.
 *
 * The features are those that V8 and Asyncify both know; `Features.All` would let Binaryen emit what V8 does not.
 */
const FEATURES =
  binaryen.Features.MutableGlobals |
  binaryen.Features.NontrappingFPToInt |
  binaryen.Features.BulkMemory |
  binaryen.Features.BulkMemoryOpt |
  binaryen.Features.SignExt |
  binaryen.Features.Multivalue |
  binaryen.Features.SIMD128 |
  binaryen.Features.ExtendedConst |
  binaryen.Features.MultiMemory;

/** Above this many bytes of code Binaryen's optimiser costs tens of seconds and the result is no faster. */
const OPTIMISED_BYTES = 300 * 1024;
const SECONDARY_MEMORY = 'asyncify_memory';

/** The package's types leave out the second parameter. */
const readBinary: (bytes: Uint8Array, features: number) => binaryen.Module = binaryen.readBinary;

/** @param blocking imports (`module.name`) inside which a process may be unwound */
export function asyncify(bytes: Uint8Array, blocking: readonly string[]): Uint8Array {
  const module = readBinary(bytes, FEATURES);
  try {
    const isSmall = bytes.length <= OPTIMISED_BYTES;
    binaryen.setOptimizeLevel(isSmall ? 2 : 1);
    binaryen.setShrinkLevel(0);
    binaryen.setDebugInfo(false);
    binaryen.setPassArgument('asyncify-imports', blocking.join(','));
    binaryen.setPassArgument('asyncify-in-secondary-memory', '1');
    binaryen.setPassArgument('asyncify-secondary-memory-size', '1');
    module.runPasses(['asyncify']);
    if (isSmall) module.optimize();
    module.addMemoryImport(SECONDARY_MEMORY, DRVS_MODULE, STACK_MEMORY, false);
    return withUnlimitedStackMemory(module.emitBinary());
  } finally {
    module.dispose();
  }
}

/**
 * Binaryen gives the second memory a maximum equal to its size. The thread's memory is larger, so the limits of the
 * import become "one page or more".
 */
function withUnlimitedStackMemory(bytes: Uint8Array): Uint8Array {
  const reader = new BinaryReader(bytes, 8);
  const out = new BinaryWriter(bytes.length + 64).raw(bytes, 0, 8);
  while (!reader.isDone) {
    const start = reader.at;
    const id = reader.u8();
    const size = reader.u32();
    const content = reader.at;
    reader.skip(size);
    if (id === 2) out.u8(2).sized(importsWithUnlimitedMemory(new BinaryReader(bytes, content, reader.at)));
    else out.raw(bytes, start, reader.at);
  }
  return out.result();
}

function importsWithUnlimitedMemory(reader: BinaryReader): BinaryWriter {
  const count = reader.u32();
  const out = new BinaryWriter(1024).u32(count);
  for (let i = 0; i < count; i++) {
    out.name(reader.name()).name(reader.name());
    const kind = reader.u8();
    out.u8(kind);
    if (kind === external.memory) {
      const flags = reader.u8();
      reader.u32();
      if ((flags & 1) !== 0) reader.u32();
      out.u8(0).u32(1);
    } else out.u32(reader.u32()); // the others are functions: the loader lets nothing else in
  }
  return out;
}
