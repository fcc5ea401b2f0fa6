import { BinaryWriter } from '../loader/binary.js';
import type { ValueType } from '../loader/imports.js';

/**
 * Gates between guests and the kernel: before a system call touches anything, it is proved that the thread's stack
 * has room for all that the kernel may do.
 *
 * A guest runs on the same native stack as the kernel, and may come with any depth of it left. V8 answers a lack of
 * stack by a RangeError wherever it happens to be, which would leave a server or the IPC kernel half-way through a
 * change. So each call of a guest that changes state passes through a small WebAssembly function of its own:
 *
 *   guest ──▶ gate: probe, then ──▶ the system call
 *
 * The probe is a few nested calls of a function with a very large frame. V8 checks at the entry of a function that
 * its whole frame fits (Liftoff and TurboFan both, for frames above 4 KiB), so one comparison proves FRAME_BYTES. The
 * code that makes the frame large (as many values alive at once) is never run. A probe that fails is a RangeError in
 * the guest's own code, which ends the process. From a guest's WebAssembly to the gate's there is no conversion: a
 * gate costs some nanoseconds.
 */

/** Of V8's 984 KiB. A write to a file needs less than 8 KiB; code that is not optimised yet needs some times that. */
const KERNEL_STACK_BYTES = 64 * 1024;
/** One frame of the probe. Larger ones take the compiler much longer, smaller ones the probe. */
const FRAME_BYTES = 32 * 1024;
const FRAME_VALUES = FRAME_BYTES / 8;
const PROBE_LEVELS = KERNEL_STACK_BYTES / FRAME_BYTES;

export interface GatedCall {
  readonly parameters: readonly ValueType[];
  readonly results: readonly ValueType[];
  readonly call: (...args: never[]) => unknown;
}

const VALUE_TYPES: Readonly<Record<ValueType, number>> = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c };

const Section = { type: 1, import: 2, function: 3, export: 7, code: 10 } as const;

const Op = {
  if: 0x04,
  end: 0x0b,
  call: 0x10,
  localGet: 0x20,
  localSet: 0x21,
  i64Load: 0x29,
  i64Store: 0x37,
  i32Const: 0x41,
  i32LessSigned: 0x48,
  i32GreaterSigned: 0x4a,
  i32Sub: 0x6b,
} as const;
const EMPTY_BLOCK = 0x40;
const FUNCTION_FORM = 0x60;
const EXTERNAL_FUNCTION = 0;
const EXTERNAL_MEMORY = 2;

/**
 * Puts a gate before each call. The gates are exported WebAssembly functions, in the order of `calls`.
 * @param memory any memory of the thread; it is never touched.
 */
export function gateStack(
  memory: WebAssembly.Memory,
  calls: readonly GatedCall[],
): WebAssembly.ExportValue[] {
  const module = new WebAssembly.Module(gateModule(calls) as Uint8Array<ArrayBuffer>);
  const kernel: Record<string, WebAssembly.ImportValue> = { memory };
  for (const [index, { call }] of calls.entries()) kernel[index] = call;
  const { exports } = new WebAssembly.Instance(module, { kernel });
  // V8 compiles a function at its first call: now, rather than where there may be no room for that.
  (exports.probe as (levels: number) => void)(PROBE_LEVELS - 1);
  return calls.map((_call, index) => exports[index]!);
}

/** Functions: the calls (imported), then the probe, then the gates. Types: the probe's, then one per call. */
function gateModule(calls: readonly GatedCall[]): Uint8Array {
  const types = new BinaryWriter().u32(calls.length + 1);
  writeType(types, ['i32'], []);
  for (const { parameters, results } of calls) writeType(types, parameters, results);

  const imports = new BinaryWriter().u32(calls.length + 1);
  imports.name('kernel').name('memory').u8(EXTERNAL_MEMORY).u8(0).u32(0);
  for (const index of calls.keys())
    imports
      .name('kernel')
      .name(String(index))
      .u8(EXTERNAL_FUNCTION)
      .u32(index + 1);

  const probe = calls.length;
  const functions = new BinaryWriter().u32(calls.length + 1).u32(0);
  const exported = new BinaryWriter().u32(calls.length + 1);
  exported.name('probe').u8(EXTERNAL_FUNCTION).u32(probe);
  const code = new BinaryWriter(16 * FRAME_VALUES).u32(calls.length + 1).sized(probeBody(probe));
  for (const [index, { parameters }] of calls.entries()) {
    functions.u32(index + 1);
    exported
      .name(String(index))
      .u8(EXTERNAL_FUNCTION)
      .u32(probe + 1 + index);
    code.sized(gateBody(probe, index, parameters.length));
  }

  const module = new BinaryWriter(code.length + 16_384);
  for (const byte of [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]) module.u8(byte);
  module.u8(Section.type).sized(types);
  module.u8(Section.import).sized(imports);
  module.u8(Section.function).sized(functions);
  module.u8(Section.export).sized(exported);
  module.u8(Section.code).sized(code);
  return module.result();
}

function writeType(
  into: BinaryWriter,
  parameters: readonly ValueType[],
  results: readonly ValueType[],
): void {
  into.u8(FUNCTION_FORM).u32(parameters.length);
  for (const type of parameters) into.u8(VALUE_TYPES[type]);
  into.u32(results.length);
  for (const type of results) into.u8(VALUE_TYPES[type]);
}

function gateBody(probe: number, call: number, parameters: number): BinaryWriter {
  const body = new BinaryWriter().u32(0);
  body
    .u8(Op.i32Const)
    .s32(PROBE_LEVELS - 1)
    .u8(Op.call)
    .u32(probe);
  for (let parameter = 0; parameter < parameters; parameter++) body.u8(Op.localGet).u32(parameter);
  return body.u8(Op.call).u32(call).u8(Op.end);
}

/**
 * probe(levels): calls itself `levels` times more. Below 0, which nobody asks for, it reads FRAME_VALUES values and
 * then writes them, so that all of them have their places in the frame.
 */
function probeBody(probe: number): BinaryWriter {
  const body = new BinaryWriter(16 * FRAME_VALUES).u32(1).u32(FRAME_VALUES).u8(VALUE_TYPES.i64);
  const levels = () => body.u8(Op.localGet).u32(0);
  levels().u8(Op.i32Const).s32(0).u8(Op.i32LessSigned).u8(Op.if).u8(EMPTY_BLOCK);
  for (let value = 0; value < FRAME_VALUES; value++) {
    body
      .u8(Op.i32Const)
      .s32(0)
      .u8(Op.i64Load)
      .u32(0)
      .u32(8 * value);
    body.u8(Op.localSet).u32(1 + value);
  }
  for (let value = 0; value < FRAME_VALUES; value++) {
    body
      .u8(Op.i32Const)
      .s32(0)
      .u8(Op.localGet)
      .u32(1 + value);
    body
      .u8(Op.i64Store)
      .u32(0)
      .u32(8 * (FRAME_VALUES - value));
  }
  body.u8(Op.end);
  levels().u8(Op.i32Const).s32(0).u8(Op.i32GreaterSigned).u8(Op.if).u8(EMPTY_BLOCK);
  levels().u8(Op.i32Const).s32(1).u8(Op.i32Sub).u8(Op.call).u32(probe).u8(Op.end);
  return body.u8(Op.end);
}
