import { DrvsError } from '@drvs/contracts';
import { BinaryWriter } from './binary.js';
import { DRVS_MODULE, knownImport, SAFEPOINT } from './imports.js';
import { UnsupportedInstruction } from './instructions.js';
import { LOADER_VERSION, META_SECTION, type ModuleMeta } from './meta.js';
import { rewriteModule } from './rewrite.js';
import { makeUnwindable } from './unwinding.js';
import { refusal, unsupported, validate } from './validate.js';

/**
 * Bytes of a stack slot. A frame takes some 16 to 60 bytes here, so that a recursion as deep as V8's own stack lets
 * it be (about 10,000 calls) can be unwound. Only the pages that were written take memory.
 */
const STACK_BYTES = 256 * 1024;

export interface Instrumented {
  module: Uint8Array;
  /** what a person may want to know of the program, in sentences */
  notes: string[];
}

/**
 * Makes of a WASI program a module whose processes can be stopped at any time, moved and restored.
 * Pure: the same bytes in, the same bytes out. Takes about half a second per MiB of code; keep the result by the hash of the
 * program and `LOADER_VERSION`.
 * @throws DrvsError NotWebAssembly, UnsupportedModule
 */
export function instrument(module: Uint8Array): Instrumented {
  const { parsed, imports } = validate(module);
  const notes: string[] = [];
  let written: ReturnType<typeof rewriteModule>;
  try {
    written = rewriteModule(parsed, (index) => imports[index]?.kind === 'immediate');
  } catch (error) {
    throw refusal(error);
  }
  const code = transform(written.bytes);
  const memory = parsed.memories[0]!;
  const meta: ModuleMeta = {
    loaderVersion: LOADER_VERSION,
    memory: { initialPages: memory.minimum, maximumPages: memory.maximum ?? null },
    fuelType: 'i32',
    globals: written.globals,
    // Programs that change tables are refused, so that a table is what instantiation makes it.
    tables: [],
    imports: imports.map(({ module: from, name, kind }) => ({ module: from, name, kind })),
    hasStartSection: parsed.start !== undefined,
    stackBytes: STACK_BYTES,
  };
  if (parsed.start !== undefined) notes.push('The start function is run at the head of _start.');
  if (imports.some(({ module: from }) => from === 'wasi_unstable'))
    notes.push('The program was made for WASI preview 0 (wasi_unstable), of which preview 1 is served.');
  return { module: withMeta(code, meta), notes };
}

const isBlocking = (module: string, name: string): boolean =>
  module === DRVS_MODULE ? name === SAFEPOINT : knownImport(module, name)?.kind === 'blocking';

function transform(bytes: Uint8Array): Uint8Array {
  try {
    const code = makeUnwindable(bytes, isBlocking);
    new WebAssembly.Module(code);
    return code;
  } catch (error) {
    if (error instanceof DrvsError || error instanceof UnsupportedInstruction) throw refusal(error);
    const reason = error instanceof Error ? error.message : String(error);
    throw unsupported(
      `The program could not be instrumented: ${reason.split('\n')[0]}`,
      'Its code is too deeply nested or uses a feature beyond WebAssembly 2.0; compile with -Os and without extensions.',
    );
  }
}

function withMeta(code: Uint8Array, meta: ModuleMeta): Uint8Array {
  const content = new BinaryWriter().name(META_SECTION).raw(new TextEncoder().encode(JSON.stringify(meta)));
  return new BinaryWriter(code.length + content.length + 16).raw(code).u8(0).sized(content).result();
}
