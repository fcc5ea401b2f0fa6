import { BinaryReader, BinaryWriter, MalformedModule } from './binary.js';
import { type BranchHints, readBranchHints, writeBranchHints } from './branch-hints.js';
import { DRVS_MODULE, STACK_MEMORY } from './imports.js';
import { bulkOp, decode, EMPTY_BLOCK, Instruction, op, UnsupportedInstruction } from './instructions.js';
import { liveAtSites } from './liveness.js';
import { external, type FunctionType, type ParsedModule, parseModule } from './module.js';
import { F32, F64, I32, I64, simpleEffect, V128 } from './operand-types.js';

/**
 * Lets the code unwind its stack into a second memory, and rewind it from there. The protocol is that of Binaryen's
 * Asyncify (`asyncify_start_unwind` and its four companions, a slot that begins with its position and end), so that
 * what is known of Asyncify holds; the transformation is another, made for code that is seldom unwound.
 *
 * A *site* is a call that may unwind: of a blocking import, of a function that holds a site, or indirect. Sites are
 * numbered from 1 in the order of the code. A function with sites becomes
 *
 *     if (state == REWINDING) take locals and `resume` (a site's number) from the stack memory
 *     block $unwind
 *       body
 *       return
 *     end
 *     put the locals and `site` into the stack memory; return zeros
 *
 * and in its body, each sequence of instructions (of the function, a block, a loop, an arm of an `if`) in which
 * something can be resumed, be it a site or a construct with sites inside, gets one label for each of these, and at
 * its head one test of `resume`, which is a local and 0 in the normal run:
 *
 *     block $2  block $1                   ;; one for each point of resumption in the sequence
 *       if (resume) branch to the label before the one that holds site `resume`
 *       code before the first point
 *     end $1
 *       site = n; call; resume = 0; if (state) branch to $unwind
 *       code between
 *     end $2
 *       block … a construct with sites inside, whose own head goes on branching … end
 *       code after
 *
 * So the normal run pays a test of a local for each sequence entered, and a test of a global after each site and at
 * the function's head; code without sites is left as it is. What lies on the operand stack at a point of resumption
 * goes through locals, one for each height and type.
 */
export function makeUnwindable(
  bytes: Uint8Array,
  isBlocking: (module: string, name: string) => boolean,
): Uint8Array {
  return new ModuleWriter(parseModule(bytes), isBlocking).write();
}

/** Compilers stay below fifty; each is copied at each site, so that a program could make the code grow without bound. */
const OPERANDS_MAXIMUM = 1000;
const NORMAL = 0;
const UNWINDING = 1;
const REWINDING = 2;
/** The stack memory is imported and so comes first. */
const STACK = 0;
const GUEST = 1;

class ModuleWriter {
  private readonly imported: number;
  private readonly mayUnwind: Uint8Array;
  /** of the module that is read, and of the one that is written: function indices are the same */
  readonly hints: BranchHints;
  readonly newHints: BranchHints = new Map();
  readonly stateGlobal: number;
  readonly dataGlobal: number;

  constructor(
    readonly module: ParsedModule,
    isBlocking: (module: string, name: string) => boolean,
  ) {
    this.imported = module.importedFunctions.length;
    this.stateGlobal = module.globals.length;
    this.dataGlobal = module.globals.length + 1;
    this.hints = readBranchHints(module.bytes);
    this.mayUnwind = findUnwindable(module, isBlocking);
  }

  write(): Uint8Array {
    const { module } = this;
    const out = new BinaryWriter(module.bytes.length * 3).raw(module.bytes, 0, 8);
    const bodies = module.bodies.map((_, i) =>
      this.mayUnwind[this.imported + i] === 1 ? new FunctionWriter(this, i).write() : copyBody(module, i),
    );
    const types = [...module.types];
    const voidType = findType(types, [], []);
    const pointerType = findType(types, [I32], []);
    const stateType = findType(types, [], [I32]);
    const first = this.imported + bodies.length;
    const api: [string, number, BinaryWriter][] = [
      ['asyncify_start_unwind', pointerType, this.setter(UNWINDING, true)],
      ['asyncify_stop_unwind', voidType, this.setter(NORMAL, false)],
      ['asyncify_start_rewind', pointerType, this.setter(REWINDING, true)],
      ['asyncify_stop_rewind', voidType, this.setter(NORMAL, false)],
      [
        'asyncify_get_state',
        stateType,
        new BinaryWriter().u8(0).u8(op.globalGet).u32(this.stateGlobal).u8(op.end),
      ],
    ];
    const reader = new BinaryReader(module.bytes, 8);
    while (!reader.isDone) {
      const start = reader.at;
      const id = reader.u8();
      const size = reader.u32();
      const content = new BinaryReader(module.bytes, reader.at, reader.at + size);
      reader.skip(size);
      const append = (count: number, items: BinaryWriter): void => {
        const total = content.u32() + count;
        const section = new BinaryWriter().u32(total).raw(module.bytes, content.at, content.end);
        out.u8(id).sized(section.raw(items.result()));
      };
      if (id === 1) out.u8(1).sized(writeTypes(types));
      else if (id === 2) out.u8(2).sized(withStackMemory(content));
      else if (id === 3)
        append(
          api.length,
          api.reduce((w, [, type]) => w.u32(type), new BinaryWriter()),
        );
      else if (id === 6) {
        const zero = [I32, 1, op.i32Const, 0, op.end];
        append(2, new BinaryWriter().raw(Uint8Array.from([...zero, ...zero])));
      } else if (id === 7)
        out.u8(7).sized(
          this.exports(
            content,
            api.map(([name]) => name),
            first,
          ),
        );
      else if (id === 10) {
        writeBranchHints(out, this.newHints);
        const section = new BinaryWriter(module.bytes.length * 2).u32(bodies.length + api.length);
        for (const body of bodies) section.sized(body);
        for (const [, , body] of api) section.sized(body);
        out.u8(10).sized(section);
      } else if (id === 11) out.u8(11).sized(withGuestMemory(content));
      else if (id !== 0) out.raw(module.bytes, start, reader.at);
    }
    return out.result();
  }

  typeOf(index: number): FunctionType {
    const { module } = this;
    const isImport = index < this.imported;
    return module.types[
      isImport ? module.importedFunctions[index]!.type : module.functions[index - this.imported]!
    ]!;
  }

  functionIndex(defined: number): number {
    return this.imported + defined;
  }

  isImport(index: number): boolean {
    return index < this.imported;
  }

  isSite({ code, immediate }: Instruction): boolean {
    return code === op.callIndirect || (code === op.call && this.mayUnwind[immediate] === 1);
  }

  private setter(state: number, hasPointer: boolean): BinaryWriter {
    const body = new BinaryWriter().u8(0).u8(op.i32Const).s32(state).u8(op.globalSet).u32(this.stateGlobal);
    if (hasPointer) body.u8(op.localGet).u32(0).u8(op.globalSet).u32(this.dataGlobal);
    return body.u8(op.end);
  }

  /** Every memory that was exported is the guest's; the five functions of the protocol are added. */
  private exports(content: BinaryReader, names: string[], first: number): BinaryWriter {
    const count = content.u32();
    const out = new BinaryWriter(1024).u32(count + names.length);
    for (let i = 0; i < count; i++) {
      out.name(content.name());
      const kind = content.u8();
      const index = content.u32();
      out.u8(kind).u32(kind === external.memory ? GUEST : index);
    }
    for (const [i, name] of names.entries())
      out
        .name(name)
        .u8(external.function)
        .u32(first + i);
    return out;
  }
}

/** Which functions hold a site: those that call a blocking import or one another of these, or anything indirectly. */
function findUnwindable(
  module: ParsedModule,
  isBlocking: (module: string, name: string) => boolean,
): Uint8Array {
  const imported = module.importedFunctions.length;
  const found = new Uint8Array(imported + module.functions.length);
  const callers: number[][] = Array.from({ length: found.length }, () => []);
  const work: number[] = [];
  const mark = (index: number): void => {
    if (found[index] === 1) return;
    found[index] = 1;
    work.push(index);
  };
  for (const [i, { module: from, name }] of module.importedFunctions.entries())
    if (isBlocking(from, name)) mark(i);
  const instruction = new Instruction();
  for (const [i, body] of module.bodies.entries()) {
    const reader = new BinaryReader(module.bytes, body.start, body.end);
    skipLocals(reader);
    while (!reader.isDone) {
      decode(reader, instruction);
      if (instruction.code === op.call) callers[instruction.immediate]!.push(imported + i);
      else if (instruction.code === op.callIndirect) mark(imported + i);
    }
  }
  for (let next = work.pop(); next !== undefined; next = work.pop())
    for (const caller of callers[next]!) mark(caller);
  return found;
}

function skipLocals(reader: BinaryReader): void {
  for (let groups = reader.u32(); groups > 0; groups--) {
    reader.u32();
    reader.u8();
  }
}

function findType(types: FunctionType[], parameters: number[], results: number[]): number {
  const same = (a: number[], b: number[]) => a.length === b.length && a.every((type, i) => type === b[i]);
  const found = types.findIndex((t) => same(t.parameters, parameters) && same(t.results, results));
  return found >= 0 ? found : types.push({ parameters, results }) - 1;
}

function writeTypes(types: readonly FunctionType[]): BinaryWriter {
  const out = new BinaryWriter(1024).u32(types.length);
  for (const { parameters, results } of types) {
    out.u8(0x60).u32(parameters.length);
    for (const type of parameters) out.u8(type);
    out.u32(results.length);
    for (const type of results) out.u8(type);
  }
  return out;
}

function withStackMemory(content: BinaryReader): BinaryWriter {
  const count = content.u32();
  const out = new BinaryWriter(1024).u32(count + 1);
  out.name(DRVS_MODULE).name(STACK_MEMORY).u8(external.memory).u8(0).u32(1);
  return out.raw(content.bytes, content.at, content.end);
}

/** Active segments go to memory 1 now: kind 0 (offset, bytes) becomes kind 2 (memory, offset, bytes). */
function withGuestMemory(content: BinaryReader): BinaryWriter {
  const count = content.u32();
  const out = new BinaryWriter(content.end - content.at + 16 * count).u32(count);
  const instruction = new Instruction();
  for (let i = 0; i < count; i++) {
    const kind = content.u32();
    if (kind === 2) content.u32();
    out.u32(kind === 0 ? 2 : kind);
    if (kind !== 1) {
      out.u32(GUEST);
      const start = content.at;
      do decode(content, instruction);
      while (instruction.code !== op.end);
      out.raw(content.bytes, start, content.at);
    }
    const length = content.u32();
    out.u32(length).raw(content.take(length));
  }
  return out;
}

/** An instruction that names the guest's memory, now with index 1; everything else as it was. */
function copyInstruction(out: BinaryWriter, bytes: Uint8Array, instruction: Instruction): void {
  const { code, sub, start, end } = instruction;
  if (code >= 0x28 && code <= 0x3e) {
    copyMemoryArgument(out.u8(code), bytes, start + 1, end);
    return;
  }
  if (code === 0x3f || code === op.memoryGrow) {
    out.u8(code).u32(GUEST);
    return;
  }
  if (code === op.bulk) {
    if (sub === bulkOp.memoryCopy) {
      out.u8(code).u32(sub).u32(GUEST).u32(GUEST);
      return;
    }
    if (sub === bulkOp.memoryFill) {
      out.u8(code).u32(sub).u32(GUEST);
      return;
    }
    if (sub === bulkOp.memoryInit) {
      const reader = new BinaryReader(bytes, start + 1, end);
      reader.u32();
      out.u8(code).u32(sub).u32(reader.u32()).u32(GUEST);
      return;
    }
  }
  if (code === op.simd && (sub <= 11 || (sub >= 84 && sub <= 93))) {
    const reader = new BinaryReader(bytes, start + 1, end);
    reader.u32();
    copyMemoryArgument(out.u8(code).u32(sub), bytes, reader.at, end);
    return;
  }
  out.raw(bytes, start, end);
}

const HAS_MEMORY_INDEX = 0x40;

function copyMemoryArgument(out: BinaryWriter, bytes: Uint8Array, at: number, end: number): void {
  const reader = new BinaryReader(bytes, at, end);
  const flags = reader.u32();
  if ((flags & HAS_MEMORY_INDEX) !== 0) reader.u32();
  out
    .u32(flags | HAS_MEMORY_INDEX)
    .u32(GUEST)
    .raw(bytes, reader.at, end);
}

function copyBody(module: ParsedModule, index: number): BinaryWriter {
  const { start, end } = module.bodies[index]!;
  const reader = new BinaryReader(module.bytes, start, end);
  const instruction = new Instruction();
  const out = new BinaryWriter((end - start) * 2);
  skipLocals(reader);
  out.raw(module.bytes, start, reader.at);
  while (!reader.isDone) {
    decode(reader, instruction);
    copyInstruction(out, module.bytes, instruction);
  }
  return out;
}

/** A sequence of instructions: the numbers of the sites in each of its points of resumption, in order. */
interface Sequence {
  points: { first: number; last: number }[];
}

/** A control construct while it is open. */
interface Frame {
  kind: number;
  parameters: number[];
  results: number[];
  /** height of the operand stack below the parameters */
  height: number;
  /** labels that are open in what is written, before this construct's own */
  label: number;
  sequence: Sequence;
  /** the next point of `sequence` */
  point: number;
  /** it holds sites */
  isPoint: boolean;
  /** nothing reaches the present place; code is passed over until the construct's `else` or `end` */
  isDead: boolean;
}

class FunctionWriter {
  private readonly module: ParsedModule;
  private readonly type: FunctionType;
  private readonly reader: BinaryReader;
  private readonly codeStart: number;
  private readonly bodyStart: number;
  /** offsets in the body that is read, and in `code` */
  private readonly unlikely: Set<number>;
  private readonly newUnlikely: number[] = [];
  private readonly code: BinaryWriter;
  private readonly locals: number[];
  private readonly instruction = new Instruction();
  private readonly stack: number[] = [];
  private readonly frames: Frame[] = [];
  /** the locals that take operands over points of resumption, by height * 8 + 0x7f - type */
  private readonly spills = new Map<number, number>();
  /** spill locals and conditions that a frame saves */
  private readonly kept = new Set<number>();
  private readonly ownLocals: number;
  private readonly resumeLocal: number;
  private readonly siteLocal: number;
  private readonly pointerLocal: number;
  private labels = 0;
  private site = 0;
  private nextSequence = 0;
  private nextConstruct = 0;
  private conditionDepth = 0;
  private readonly conditions: number[] = [];
  private readonly sequences: Sequence[] = [];
  /** of each construct, in the order in which they are opened: whether it holds sites */
  private readonly holdsSites: boolean[] = [];
  /** dead constructs that are open while code is passed over */
  private deadDepth = 0;

  constructor(
    private readonly writer: ModuleWriter,
    private readonly index: number,
  ) {
    this.module = writer.module;
    const body = this.module.bodies[index]!;
    this.type = this.module.types[this.module.functions[index]!]!;
    this.reader = new BinaryReader(this.module.bytes, body.start, body.end);
    this.bodyStart = body.start;
    this.unlikely = new Set(writer.hints.get(writer.functionIndex(index)));
    this.locals = [...this.type.parameters];
    for (let groups = this.reader.u32(); groups > 0; groups--) {
      const count = this.reader.u32();
      const type = this.reader.u8();
      for (let i = 0; i < count; i++) this.locals.push(type);
    }
    this.codeStart = this.reader.at;
    this.code = new BinaryWriter((body.end - body.start) * 3 + 64);
    this.ownLocals = this.locals.length;
    this.resumeLocal = this.addLocal(I32);
    this.siteLocal = this.addLocal(I32);
    this.pointerLocal = this.addLocal(I32);
  }

  write(): BinaryWriter {
    this.survey();
    this.code.u8(op.block).u8(EMPTY_BLOCK); // $unwind, label 1; the function's own label is 0
    this.labels = 2;
    const frame = this.openFrame(op.block, [], this.type.results, true);
    frame.label = 0;
    this.writeHead(frame);
    while (this.frames.length > 0) {
      decode(this.reader, this.instruction);
      if (this.frames[this.frames.length - 1]!.isDead) this.passOver();
      else this.translate();
    }
    const body = this.code;
    const out = new BinaryWriter(body.length + 16 * this.locals.length + 64);
    this.writeLocals(out);
    const saved = this.savedLocals();
    const restoreHint = this.writeRestore(out, saved);
    const shift = out.length;
    this.writer.newHints.set(this.writer.functionIndex(this.index), [
      restoreHint,
      ...this.newUnlikely.map((offset) => offset + shift),
    ]);
    out.raw(body.result());
    this.writeSave(out, saved);
    return out;
  }

  private addLocal(type: number): number {
    return this.locals.push(type) - 1;
  }

  /** First pass: numbers the sites and finds each sequence's points, in the order in which sequences begin. */
  private survey(): void {
    const reader = new BinaryReader(this.module.bytes, this.codeStart, this.reader.end);
    const instruction = this.instruction;
    const { sequences, holdsSites } = this;
    sequences.push({ points: [] });
    /** the sequences of each open construct; nested dead constructs are counted only */
    const open = [{ sequence: sequences[0]!, construct: -1, first: 1, isDead: false }];
    let sites = 0;
    let deadDepth = 0;
    while (open.length > 0) {
      decode(reader, instruction);
      const top = open[open.length - 1]!;
      const { code } = instruction;
      if (top.isDead && (deadDepth > 0 || (code !== op.end && code !== op.else))) {
        if (code === op.block || code === op.loop || code === op.if) deadDepth++;
        else if (code === op.end) deadDepth--;
        continue;
      }
      switch (code) {
        case op.block:
        case op.loop:
        case op.if: {
          const sequence = { points: [] };
          sequences.push(sequence);
          open.push({ sequence, construct: holdsSites.push(false) - 1, first: sites + 1, isDead: false });
          break;
        }
        case op.else: {
          const sequence = { points: [] };
          sequences.push(sequence);
          top.sequence = sequence;
          top.isDead = false;
          break;
        }
        case op.end: {
          open.pop();
          const parent = open[open.length - 1];
          if (parent === undefined || sites < top.first) break;
          parent.sequence.points.push({ first: top.first, last: sites });
          holdsSites[top.construct] = true;
          break;
        }
        case op.br:
        case op.brTable:
        case op.return:
        case op.unreachable:
          top.isDead = true;
          break;
        default:
          if (this.writer.isSite(instruction)) {
            sites++;
            top.sequence.points.push({ first: sites, last: sites });
          }
      }
    }
  }

  private translate(): void {
    const { instruction, code } = this;
    const frame = this.frames[this.frames.length - 1]!;
    switch (instruction.code) {
      case op.block:
      case op.loop:
      case op.if:
        this.openConstruct(frame);
        return;
      case op.else:
        this.turnToElse(frame);
        return;
      case op.end:
        this.close(frame);
        return;
      case op.br:
        code.u8(op.br).u32(this.depth(instruction.immediate));
        this.die(frame);
        return;
      case op.brIf:
        this.pop(1);
        this.keepHint();
        code.u8(op.brIf).u32(this.depth(instruction.immediate));
        return;
      case op.brTable:
        code.u8(op.brTable).u32(instruction.depths.length - 1);
        for (const depth of instruction.depths) code.u32(this.depth(depth));
        this.die(frame);
        return;
      case op.return:
      case op.unreachable:
        code.u8(instruction.code);
        this.die(frame);
        return;
      case op.call:
      case op.callIndirect:
        this.call(frame);
        return;
      case op.localGet:
        this.stack.push(this.locals[instruction.immediate]!);
        break;
      case op.localSet:
        this.pop(1);
        break;
      case op.localTee:
        break;
      case op.globalGet:
        this.stack.push(this.module.globals[instruction.immediate]!.type);
        break;
      case op.globalSet:
        this.pop(1);
        break;
      case 0x1b: // select
      case op.selectTyped:
        this.pop(2);
        break;
      default: {
        const effect = simpleEffect(instruction);
        if (effect === null)
          throw new MalformedModule(`unknown instruction 0x${instruction.code.toString(16)}`);
        this.pop(effect.pops);
        if (effect.pushes !== 0) this.stack.push(effect.pushes);
      }
    }
    copyInstruction(code, this.module.bytes, instruction);
  }

  private pop(count: number): void {
    if (this.stack.length < count)
      throw new MalformedModule(`function ${this.index} takes operands that are not there`);
    this.stack.length -= count;
  }

  private die(frame: Frame): void {
    frame.isDead = true;
    this.deadDepth = 0;
  }

  private passOver(): void {
    const { code } = this.instruction;
    const frame = this.frames[this.frames.length - 1]!;
    if (code === op.block || code === op.loop || code === op.if) this.deadDepth++;
    else if (this.deadDepth > 0) {
      if (code === op.end) this.deadDepth--;
    } else if (code === op.else) this.turnToElse(frame);
    else if (code === op.end) this.close(frame);
  }

  /** Depth, in what is written, of the label of the construct `depth` levels out. */
  private depth(depth: number): number {
    const frame = this.frames[this.frames.length - 1 - depth];
    if (frame === undefined) throw new MalformedModule(`function ${this.index} branches out of itself`);
    return this.labels - 1 - frame.label;
  }

  private openFrame(kind: number, parameters: number[], results: number[], isPoint: boolean): Frame {
    const frame: Frame = {
      kind,
      parameters,
      results,
      height: this.stack.length - parameters.length,
      label: this.labels,
      sequence: this.sequences[this.nextSequence++]!,
      point: 0,
      isPoint,
      isDead: false,
    };
    this.frames.push(frame);
    return frame;
  }

  private blockType(): FunctionType {
    const type = this.instruction.immediate;
    if (type === EMPTY_BLOCK) return { parameters: [], results: [] };
    return type < 256 ? { parameters: [], results: [type] } : this.module.types[type - 256]!;
  }

  private openConstruct(outer: Frame): void {
    const { code, instruction, module } = this;
    const kind = instruction.code;
    const { parameters, results } = this.blockType();
    const isPoint = this.holdsSites[this.nextConstruct++]!;
    if (kind === op.if) this.pop(1);
    if (isPoint) {
      if (kind === op.if) code.u8(op.localSet).u32(this.condition());
      this.spillFrame(outer);
      this.reachPoint(outer);
      this.reloadFrame(outer);
      if (kind === op.if) code.u8(op.localGet).u32(this.condition());
    }
    if (kind === op.if) this.keepHint();
    code.raw(module.bytes, instruction.start, instruction.end);
    const frame = this.openFrame(kind, parameters, results, isPoint);
    if (isPoint && kind === op.if) this.conditionDepth++;
    this.labels++;
    this.writeHead(frame);
  }

  private turnToElse(frame: Frame): void {
    this.code.u8(op.else);
    frame.sequence = this.sequences[this.nextSequence++]!;
    frame.point = 0;
    frame.isDead = false;
    this.stack.length = frame.height;
    this.stack.push(...frame.parameters);
    this.writeHead(frame);
  }

  private close(frame: Frame): void {
    this.frames.pop();
    if (this.frames.length === 0) {
      this.code.u8(op.return).u8(op.end);
      return;
    }
    this.code.u8(op.end);
    this.labels = frame.label;
    this.stack.length = frame.height;
    this.stack.push(...frame.results);
    if (frame.isPoint && frame.kind === op.if) this.conditionDepth--;
  }

  /** The labels of a sequence's points, and the test that leads to them when the process is resumed. */
  private writeHead(frame: Frame): void {
    const { code, resumeLocal } = this;
    const { points } = frame.sequence;
    if (points.length === 0) return;
    this.spillFrame(frame);
    for (let i = 0; i < points.length; i++) code.u8(op.block).u8(EMPTY_BLOCK);
    this.labels += points.length;
    code.u8(op.localGet).u32(resumeLocal);
    this.newUnlikely.push(code.length);
    if (points.length === 1) code.u8(op.brIf).u32(0);
    else {
      code.u8(op.if).u8(EMPTY_BLOCK);
      for (let i = 1; i < points.length; i++) {
        code
          .u8(op.localGet)
          .u32(resumeLocal)
          .u8(op.i32Const)
          .s32(points[i - 1]!.last)
          .u8(op.i32LeU);
        code.u8(op.brIf).u32(i);
      }
      code.u8(op.br).u32(points.length).u8(op.end);
    }
    this.reloadFrame(frame);
  }

  /** The next point of resumption begins here; the operands of the frame must have been spilled. */
  private reachPoint(frame: Frame): void {
    this.code.u8(op.end);
    this.labels--;
    frame.point++;
  }

  private call(frame: Frame): void {
    const { code, instruction, module, stack, writer } = this;
    const isIndirect = instruction.code === op.callIndirect;
    const type = isIndirect ? module.types[instruction.immediate]! : writer.typeOf(instruction.immediate);
    const operands = type.parameters.length + (isIndirect ? 1 : 0);
    if (!writer.isSite(instruction)) {
      this.pop(operands);
      stack.push(...type.results);
      code.raw(module.bytes, instruction.start, instruction.end);
      return;
    }
    this.spillFrame(frame);
    this.reachPoint(frame);
    const below = stack.length - operands;
    // A function takes its parameters from its own frame when it is resumed; an import is called anew with them.
    const isResumedByItself = !isIndirect && !writer.isImport(instruction.immediate);
    this.keep(isResumedByItself ? below : stack.length);
    this.reload(below, stack.length);
    code
      .u8(op.i32Const)
      .s32(++this.site)
      .u8(op.localSet)
      .u32(this.siteLocal);
    code.raw(module.bytes, instruction.start, instruction.end);
    code.u8(op.i32Const).s32(0).u8(op.localSet).u32(this.resumeLocal);
    this.pop(operands);
    stack.push(...type.results);
    const hasBelow = below > frame.height;
    if (hasBelow) this.spill(below, stack.length);
    code.u8(op.globalGet).u32(writer.stateGlobal);
    this.newUnlikely.push(code.length);
    code.u8(op.brIf).u32(this.labels - 2);
    if (hasBelow) this.reload(frame.height, stack.length);
  }

  private keepHint(): void {
    if (this.unlikely.has(this.instruction.start - this.bodyStart)) this.newUnlikely.push(this.code.length);
  }

  private spillFrame(frame: Frame): void {
    if (this.stack.length > OPERANDS_MAXIMUM)
      throw new UnsupportedInstruction(
        `more than ${OPERANDS_MAXIMUM} operands at a call`,
        'Split the function into smaller ones.',
      );
    this.spill(frame.height, this.stack.length);
  }

  private reloadFrame(frame: Frame): void {
    this.reload(frame.height, this.stack.length);
  }

  private spill(from: number, to: number): void {
    for (let height = to - 1; height >= from; height--)
      this.code.u8(op.localSet).u32(this.spillLocal(height, this.stack[height]!));
  }

  private reload(from: number, to: number): void {
    for (let height = from; height < to; height++)
      this.code.u8(op.localGet).u32(this.spillLocal(height, this.stack[height]!));
  }

  /** What lies on the operand stack up to this height is part of the frame. */
  private keep(to: number): void {
    for (let height = 0; height < to; height++) this.kept.add(this.spillLocal(height, this.stack[height]!));
  }

  private spillLocal(height: number, type: number): number {
    const key = height * 8 + (I32 - type);
    let local = this.spills.get(key);
    if (local === undefined) {
      local = this.addLocal(type);
      this.spills.set(key, local);
    }
    return local;
  }

  /** Keeps the condition of an `if` that holds sites, so that resuming chooses the same arm. */
  private condition(): number {
    let local = this.conditions[this.conditionDepth];
    if (local === undefined) {
      local = this.addLocal(I32);
      this.conditions[this.conditionDepth] = local;
      this.kept.add(local);
    }
    return local;
  }

  private writeLocals(out: BinaryWriter): void {
    const groups: { type: number; count: number }[] = [];
    for (const type of this.locals.slice(this.type.parameters.length)) {
      const last = groups[groups.length - 1];
      if (last?.type === type) last.count++;
      else groups.push({ type, count: 1 });
    }
    out.u32(groups.length);
    for (const { type, count } of groups) out.u32(count).u8(type);
  }

  /** The locals that a frame is made of, and where: offsets in bytes from the frame's start; the site comes first. */
  private savedLocals(): { local: number; type: number; offset: number }[] {
    const isLive = liveAtSites(
      this.module.bytes,
      this.codeStart,
      this.reader.end,
      this.ownLocals,
      (instruction) => this.writer.isSite(instruction),
    );
    let offset = 4;
    return this.locals.flatMap((type, local) => {
      if (local < this.ownLocals ? !isLive(local) : !this.kept.has(local)) return [];
      const at = offset;
      offset += SIZES[type]!;
      return [{ local, type, offset: at }];
    });
  }

  /** @returns the offset of its branch, which is seldom taken */
  private writeRestore(out: BinaryWriter, saved: { local: number; type: number; offset: number }[]): number {
    const { pointerLocal, resumeLocal } = this;
    const { dataGlobal, stateGlobal } = this.writer;
    out.u8(op.globalGet).u32(stateGlobal).u8(op.i32Const).s32(REWINDING).u8(op.i32Eq);
    const branch = out.length;
    out.u8(op.if).u8(EMPTY_BLOCK);
    out.u8(op.globalGet).u32(dataGlobal).u8(op.globalGet).u32(dataGlobal);
    writeAccess(out, LOADS[I32]!, 0);
    out.u8(op.i32Const).s32(frameSize(saved)).u8(op.i32Sub).u8(op.localTee).u32(pointerLocal);
    writeAccess(out, STORES[I32]!, 0);
    for (const { local, type, offset } of saved) {
      out.u8(op.localGet).u32(pointerLocal);
      writeAccess(out, LOADS[type]!, offset);
      out.u8(op.localSet).u32(local);
    }
    out.u8(op.localGet).u32(pointerLocal);
    writeAccess(out, LOADS[I32]!, 0);
    out.u8(op.localSet).u32(resumeLocal).u8(op.end);
    return branch;
  }

  private writeSave(out: BinaryWriter, saved: { local: number; type: number; offset: number }[]): void {
    const { pointerLocal, siteLocal } = this;
    const { dataGlobal } = this.writer;
    const size = frameSize(saved);
    out.u8(op.globalGet).u32(dataGlobal);
    writeAccess(out, LOADS[I32]!, 0);
    out.u8(op.localTee).u32(pointerLocal).u8(op.i32Const).s32(size).u8(op.i32Add);
    out.u8(op.globalGet).u32(dataGlobal);
    writeAccess(out, LOADS[I32]!, 4);
    out.u8(op.i32GtU).u8(op.if).u8(EMPTY_BLOCK).u8(op.unreachable).u8(op.end); // the slot is full
    for (const { local, type, offset } of saved) {
      out.u8(op.localGet).u32(pointerLocal).u8(op.localGet).u32(local);
      writeAccess(out, STORES[type]!, offset);
    }
    out.u8(op.localGet).u32(pointerLocal).u8(op.localGet).u32(siteLocal);
    writeAccess(out, STORES[I32]!, 0);
    out
      .u8(op.globalGet)
      .u32(dataGlobal)
      .u8(op.localGet)
      .u32(pointerLocal)
      .u8(op.i32Const)
      .s32(size)
      .u8(op.i32Add);
    writeAccess(out, STORES[I32]!, 0);
    for (const type of this.type.results) out.raw(ZEROS[type]!);
    out.u8(op.end);
  }
}

const SIZES: Readonly<Record<number, number>> = { [I32]: 4, [I64]: 8, [F32]: 4, [F64]: 8, [V128]: 16 };
const LOADS: Readonly<Record<number, number[]>> = {
  [I32]: [0x28],
  [I64]: [0x29],
  [F32]: [0x2a],
  [F64]: [0x2b],
  [V128]: [op.simd, 0],
};
const STORES: Readonly<Record<number, number[]>> = {
  [I32]: [0x36],
  [I64]: [0x37],
  [F32]: [0x38],
  [F64]: [0x39],
  [V128]: [op.simd, 11],
};
const ZEROS: Readonly<Record<number, Uint8Array>> = {
  [I32]: Uint8Array.of(op.i32Const, 0),
  [I64]: Uint8Array.of(op.i64Const, 0),
  [F32]: Uint8Array.of(op.f32Const, 0, 0, 0, 0),
  [F64]: Uint8Array.of(op.f64Const, 0, 0, 0, 0, 0, 0, 0, 0),
  [V128]: Uint8Array.of(op.simd, 12, ...new Array<number>(16).fill(0)),
};

const frameSize = (saved: { type: number }[]): number =>
  saved.reduce((sum, { type }) => sum + SIZES[type]!, 4);

/** A load or store of the stack memory, not aligned: frames are packed. */
function writeAccess(out: BinaryWriter, code: number[], offset: number): void {
  for (const byte of code) out.u8(byte);
  out.u32(HAS_MEMORY_INDEX).u32(STACK).u32(offset);
}
