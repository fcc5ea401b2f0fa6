import { DrvsError } from '@drvs/contracts';
import { BinaryReader, MalformedModule } from './binary.js';
import { FUEL, IMPORT_MODULES, type KnownImport, knownImport } from './imports.js';
import { requireNumber, UnsupportedInstruction } from './instructions.js';
import { external, type FunctionType, type ParsedModule, parseModule } from './module.js';

/** Larger programs would keep the instrumentation busy for minutes; a C or Rust program has a tenth of it. */
export const MAXIMUM_MODULE_BYTES = 32 * 1024 * 1024;
export const MAXIMUM_FUNCTIONS = 100_000;
/** One function's code: beyond this Binaryen's passes, some of them quadratic, take minutes. */
export const MAXIMUM_FUNCTION_BYTES = 2 * 1024 * 1024;
export const MAXIMUM_LOCALS = 20_000;

const TYPE_NAMES: Readonly<Record<number, string>> = {
  127: 'i32',
  126: 'i64',
  125: 'f32',
  124: 'f64',
  123: 'v128',
};
const TARGET_HINT =
  'Compile for WASI preview 1 (C: clang --target=wasm32-wasi; Rust: wasm32-wasip1; Go: tinygo -target=wasip1).';

export interface ValidatedModule {
  parsed: ParsedModule;
  /** in the order of the module's imported functions */
  imports: KnownImport[];
}

/**
 * Takes the module apart and makes sure that its processes can be images.
 * @throws DrvsError NotWebAssembly (not a module, or not a valid one), UnsupportedModule (with the remedy)
 */
export function validate(bytes: Uint8Array): ValidatedModule {
  checkHeader(bytes);
  if (bytes.length > MAXIMUM_MODULE_BYTES)
    throw unsupported(
      `The program has ${bytes.length} bytes; at most ${MAXIMUM_MODULE_BYTES} are taken`,
      'Compile for size (-Os) and leave out debugging information (wasm-strip, or -s).',
    );
  let parsed: ParsedModule;
  try {
    parsed = parseModule(bytes);
    checkValid(bytes);
  } catch (error) {
    throw refusal(error);
  }
  try {
    checkSizes(parsed);
  } catch (error) {
    throw refusal(error);
  }
  const imports = checkImports(parsed);
  checkMemory(parsed);
  checkExports(parsed);
  checkGlobals(parsed);
  return { parsed, imports };
}

export const unsupported = (message: string, hint: string, details?: Record<string, unknown>): DrvsError =>
  new DrvsError('UnsupportedModule', message, { hint, details });

/** What the reader and the decoder throw, as the user is told. */
export function refusal(error: unknown): DrvsError {
  if (error instanceof DrvsError) return error;
  if (error instanceof UnsupportedInstruction)
    return unsupported(
      `The program uses ${error.feature}, which DRVS cannot move between nodes`,
      error.remedy,
    );
  if (error instanceof MalformedModule) return damaged(error.message);
  return DrvsError.from(error);
}

const damaged = (reason: string): DrvsError =>
  new DrvsError(
    'NotWebAssembly',
    `The file begins like a WebAssembly module but is not a valid one: ${reason}`,
    {
      hint: 'The file may have been cut short or changed on its way; compile or copy it again.',
    },
  );

function checkHeader(bytes: Uint8Array): void {
  const isWasm = bytes[0] === 0 && bytes[1] === 0x61 && bytes[2] === 0x73 && bytes[3] === 0x6d;
  if (!isWasm)
    throw new DrvsError('NotWebAssembly', `The program is not a WebAssembly module: ${describe(bytes)}`, {
      hint: TARGET_HINT,
    });
  if (bytes.length < 8) throw damaged(`it has only ${bytes.length} bytes`);
  if (bytes[4] === 0x0d && bytes[6] === 1)
    throw unsupported('The program is a WebAssembly component; DRVS runs core modules', TARGET_HINT);
  if (bytes[4] !== 1 || bytes[5] !== 0 || bytes[6] !== 0 || bytes[7] !== 0)
    throw damaged(`its version is ${bytes[4]}, and only version 1 is known`);
}

function describe(bytes: Uint8Array): string {
  if (bytes.length === 0) return 'the file is empty';
  const text = new TextDecoder('latin1').decode(bytes.subarray(0, 4));
  if (text === '\x7fELF') return 'it is a native Linux program (ELF)';
  if (text.startsWith('MZ')) return 'it is a Windows program';
  if (text.startsWith('#!')) return 'it is a script';
  if (text.trimStart().startsWith('(')) return 'it looks like WebAssembly text (convert it with wat2wasm)';
  if (text.startsWith('\x1f\x8b')) return 'it is compressed (gzip)';
  return `it begins with the bytes ${[...bytes.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')}`;
}

function checkValid(bytes: Uint8Array): void {
  try {
    new WebAssembly.Module(bytes);
  } catch (error) {
    const reason =
      error instanceof Error ? error.message.replace(/^WebAssembly\.Module\(\): /, '') : String(error);
    throw new MalformedModule(reason);
  }
}

function checkSizes(parsed: ParsedModule): void {
  if (parsed.functions.length > MAXIMUM_FUNCTIONS)
    throw unsupported(
      `The program has ${parsed.functions.length} functions; at most ${MAXIMUM_FUNCTIONS} are taken`,
      'Compile for size (-Os) and let the linker drop what is not used (--gc-sections).',
    );
  for (const [i, { start, end }] of parsed.bodies.entries()) {
    const index = i + parsed.importedFunctions.length;
    if (end - start > MAXIMUM_FUNCTION_BYTES)
      throw unsupported(
        `Function ${index} has ${end - start} bytes; at most ${MAXIMUM_FUNCTION_BYTES} are taken`,
        'Split the function, or compile with less inlining (-Os).',
      );
    const reader = new BinaryReader(parsed.bytes, start, end);
    let locals = 0;
    for (let groups = reader.u32(); groups > 0; groups--) {
      locals += reader.u32();
      requireNumber(reader.u8());
    }
    if (locals > MAXIMUM_LOCALS)
      throw unsupported(
        `Function ${index} has ${locals} local variables; at most ${MAXIMUM_LOCALS} are taken`,
        'Split the function, or compile it with optimisation (-Os).',
      );
  }
}

function checkImports(parsed: ParsedModule): KnownImport[] {
  return parsed.imports.map((asked) => {
    const { module, name, kind } = asked;
    if (kind === external.memory)
      throw unsupported(
        `The program imports its memory (${module}.${name})`,
        'Link without --import-memory.',
      );
    if (kind !== external.function)
      throw unsupported(
        `The program imports ${module}.${name}, which is not a function`,
        'Link it statically, as a program and not as a library.',
      );
    const known = knownImport(module, name);
    if (known === undefined) throw unknownImport(module, name);
    const type = parsed.types[asked.type];
    if (type === undefined) throw damaged(`import ${module}.${name} has no type`);
    const expected = spell(known.parameters, known.results);
    const actual = spellType(type);
    if (expected !== actual)
      throw unsupported(
        `The program imports ${module}.${name} as ${actual}; it is ${expected}`,
        'Correct the declaration of the function in the program.',
      );
    return known;
  });
}

function unknownImport(module: string, name: string): DrvsError {
  const isKnownModule = (IMPORT_MODULES as readonly string[]).includes(module);
  if (isKnownModule)
    return unsupported(
      `The program imports ${module}.${name}, which does not exist`,
      'See docs/guest-programs.md for the calls that there are.',
      { module, name },
    );
  const hint =
    module === 'wbindgen' || module.startsWith('__wbindgen')
      ? 'It was made for a web page (wasm-bindgen); compile it for wasm32-wasip1 instead.'
      : module === 'gojs' || module === 'go'
        ? 'It was made for a web page (GOOS=js); compile it with tinygo -target=wasip1 or GOOS=wasip1.'
        : module.startsWith('wasi:')
          ? 'It was made for WASI preview 2; compile it for preview 1 (wasip1).'
          : module === 'wasi'
            ? 'It was made with the threads of WASI; compile it for a target without threads.'
            : module === 'env'
              ? 'A function was declared and never defined, or the program was made for a web page; link it for WASI (AssemblyScript: --use abort=).'
              : TARGET_HINT;
  return unsupported(
    `The program imports ${module}.${name}; only ${IMPORT_MODULES[0]} and dvos can be imported`,
    hint,
    { module, name },
  );
}

const spell = (parameters: readonly string[], results: readonly string[]): string =>
  `(${parameters.join(', ')}) -> (${results.join(', ')})`;

const spellType = ({ parameters, results }: FunctionType): string => {
  const names = (types: number[]) => types.map((type) => TYPE_NAMES[type] ?? '?');
  return spell(names(parameters), names(results));
};

function checkMemory(parsed: ParsedModule): void {
  const [memory] = parsed.memories;
  if (memory === undefined)
    throw unsupported('The program has no memory', 'Link it as a WASI program, which defines one memory.');
  if (parsed.memories.length > 1)
    throw unsupported(`The program has ${parsed.memories.length} memories; one is supported`, TARGET_HINT);
  if ((memory.flags & 2) !== 0)
    throw unsupported(
      'The program uses a memory shared between threads',
      'Compile for a target without threads (wasm32-wasip1, not wasm32-wasip1-threads).',
    );
}

function checkExports(parsed: ParsedModule): void {
  const start = parsed.exports.find(({ name }) => name === '_start');
  if (start === undefined || start.kind !== external.function)
    throw unsupported(
      'The program exports no function _start, so there is nothing to run',
      parsed.exports.some(({ name }) => name === '_initialize')
        ? 'It is a library ("reactor"); compile it as a program (without -mexec-model=reactor).'
        : 'Compile it as a program with a main function, for WASI preview 1.',
    );
  const imported = parsed.importedFunctions.length;
  const type =
    start.index < imported
      ? parsed.types[parsed.importedFunctions[start.index]!.type]
      : parsed.types[parsed.functions[start.index - imported]!];
  if (type === undefined || type.parameters.length + type.results.length > 0)
    throw unsupported('The function _start must take and return nothing', 'Compile it as a WASI program.');
  const exportsImport = ({ kind, index }: { kind: number; index: number }) =>
    kind === external.function && index < imported;
  for (const exported of parsed.exports) {
    const { name, kind } = exported;
    if (name.startsWith('drvs.') || name.startsWith('asyncify_') || name === FUEL)
      throw unsupported(
        `The program exports "${name}", a name that DRVS needs for itself`,
        name.startsWith('asyncify_')
          ? 'Compile it without Asyncify: DRVS does that itself.'
          : 'Give the export another name.',
      );
    if (name === 'memory' && kind !== external.memory)
      throw unsupported('The program exports something else under the name "memory"', 'Rename that export.');
    if (exportsImport(exported))
      throw unsupported(
        `The program exports the imported function "${name}"`,
        'Export a function of its own.',
      );
  }
}

function checkGlobals(parsed: ParsedModule): void {
  for (const [index, { type, isMutable }] of parsed.globals.entries())
    if (isMutable && type === 0x7b)
      throw unsupported(
        `The program has a variable global of type v128 (global ${index})`,
        'Keep SIMD values in memory or in local variables.',
      );
}
