import { BinaryReader, BinaryWriter, MalformedModule } from './binary.js';
import type { CallGraph } from './call-graph.js';
import { bulkOp, decode, EMPTY_BLOCK, Instruction, op, writeBlockTypeBytes } from './instructions.js';
import type { FunctionType, ParsedModule } from './module.js';

/**
 * Puts safe points into functions: places where the fuel is counted down and, when it has run out, `drvs.safepoint`
 * is called, which may unwind the process.
 *
 * Promise: between two checks on any path lie at most a few hundred thousand instructions, whatever the program is.
 *  - Loops count their rounds in one local of the function. When it reaches `ROUNDS_PER_CHECK` the fuel is checked:
 *    outside of an innermost loop without calls and bulk copies, which is left and entered again ("exit form", so that
 *    Asyncify leaves the hot code alone), at the head of any other. A call on the way, if there is one, takes what was
 *    counted from the fuel and checks it, so that a call on a path seldom taken costs the loop nothing. So does the
 *    function's end, without a check.
 *  - Recursion is checked before the calls that close a cycle of the call graph, once per activation.
 *  - Straight code, calls of functions without checks included, is weighed along its longest path and checked when
 *    it grows too long: ten functions that call each other a thousand times each are not a way around.
 *
 * Fuel is counted in units of about `INSTRUCTIONS_PER_UNIT` instructions.
 */
export interface SafePointContext {
  module: ParsedModule;
  graph: CallGraph;
  /** indices in the module that is written */
  fuelGlobal: number;
  safePointFunction: number;
  memoryGrowFunction: number;
  /** new index of a function */
  renumber(index: number): number;
  /** imports of kind 'immediate', by index: calls that never unwind and need no weighing */
  isImmediate(index: number): boolean;
  /** index of the type () -> results, added when it is new */
  resultType(results: number[]): number;
  /** what a call of each function adds to its caller, -1 until known; filled in `graph.order` */
  distances: Int32Array;
  /** by signature: the longest distance of a function that is in a table */
  indirectDistances: Map<number, number>;
  charges: Int32Array;
}

const INSTRUCTIONS_PER_UNIT = 32;
/** Units that a loop runs between checks: some microseconds, so that they cost nothing. */
const ROUNDS_PER_CHECK = 1024;
/** A round of a loop is taken for at most so many units: most of a long body are cases that are seldom run. */
const ROUND_WEIGHT_MAXIMUM = 4;
/** A path that has grown by so many instructions takes its fuel on the spot (without a check). */
const CHARGE_EVERY = 1024;
/** Longest straight path between checks, in instructions: some 100 µs. */
const STRAIGHT_LIMIT = 200_000;
/** What a call of a function whose weight is not yet known (it is on a cycle) is taken for. */
const DISTANCE_UNKNOWN = STRAIGHT_LIMIT / 16;
/** An import does bounded work in the kernel; a bulk copy of a length not known is weighed as this. */
const COST_CALL_OUT = 256;
const COST_BULK = 2048;
/** Bytes of a bulk copy for one unit of fuel: 2^6. */
const BULK_BYTES_PER_UNIT_LOG2 = 6;
/** A constant length below this is not charged for. */
const BULK_FREE_BYTES = 4096;

interface LoopPlan {
  isExitForm: boolean;
  /** units per round */
  weight: number;
  instructions: number;
}

interface Frame {
  kind: number;
  isExitForm: boolean;
  elseState: State | undefined;
  merged: State | undefined;
}

/** What is known at a point of the code on all paths that lead there. */
interface State {
  /** instructions since the last check, on the longest path, loops at their longest: for the promise */
  distance: number;
  /** instructions since then for which no fuel has been taken: loops take their own, so they do not count here */
  charge: number;
  /** a check has been made since the function was entered */
  isChecked: boolean;
  /** rounds may have been counted that are not yet taken from the fuel */
  isDirty: boolean;
}

export interface WrittenBody {
  /** locals and code, without the length */
  body: BinaryWriter;
  /** offsets in `body` of branches that are seldom taken */
  unlikely: number[];
}

/** Writes the defined function `index` with safe points. */
export function writeBody(context: SafePointContext, index: number): WrittenBody {
  return new BodyWriter(context, index).write();
}

class BodyWriter {
  private readonly out: BinaryWriter;
  private readonly unlikely: number[] = [];
  private readonly reader: BinaryReader;
  private readonly instruction = new Instruction();
  private readonly type: FunctionType;
  private readonly plans: LoopPlan[];
  private readonly usesCounter: boolean;
  private readonly counterLocal: number;
  private readonly scratchLocal: number;
  private readonly frames: Frame[] = [];
  /** position in `frames` of the exit-form loop that we are in, -1 outside; such loops do not nest */
  private exitFrame = -1;
  private loopDepth = 0;
  private state: State | undefined = { distance: 0, charge: 0, isChecked: false, isDirty: false };
  private lastConstant = -1;
  /** longest distance from the last check to where the function ends */
  private endDistance = 0;
  private endCharge = 0;

  constructor(
    private readonly context: SafePointContext,
    private readonly index: number,
  ) {
    const { module } = context;
    const defined = index - module.importedFunctions.length;
    const body = module.bodies[defined]!;
    this.type = module.types[module.functions[defined]!]!;
    this.reader = new BinaryReader(module.bytes, body.start, body.end);
    this.out = new BinaryWriter((body.end - body.start) * 2 + 64);

    const groups = this.reader.u32();
    let locals = this.type.parameters.length;
    const start = this.reader.at;
    for (let i = 0; i < groups; i++) {
      locals += this.reader.u32();
      this.reader.u8();
    }
    this.plans = surveyLoops(context, index, this.reader.at, body.end);
    this.usesCounter = this.plans.length > 0;
    this.counterLocal = locals;
    this.scratchLocal = locals + 1;
    this.out.u32(groups + 1).raw(module.bytes, start, this.reader.at);
    this.out.u32(2).u8(0x7f);
  }

  write(): WrittenBody {
    const { out, reader, instruction } = this;
    // With a counter, branches to the function's end go to a block of ours, after which the rounds are accounted for.
    if (this.usesCounter) out.u8(op.block).raw(Uint8Array.from(writeBlockTypeBytes(this.resultBlockType())));
    this.frames.push({ kind: op.block, isExitForm: false, elseState: undefined, merged: undefined });
    let loop = 0;
    while (!reader.isDone) {
      decode(reader, instruction);
      this.spend(1, 1);
      const constant = this.lastConstant;
      this.lastConstant = -1;
      switch (instruction.code) {
        case op.block:
        case op.if:
          this.open(instruction.code, false);
          this.copy();
          break;
        case op.loop:
          this.openLoop(this.plans[loop++]!);
          break;
        case op.else:
          this.turnToElse();
          this.copy();
          break;
        case op.end:
          this.close();
          break;
        case op.br:
        case op.brIf:
          this.limitDistance();
          this.branch(instruction.immediate);
          out.u8(instruction.code).u32(this.depth(instruction.immediate));
          if (instruction.code === op.br) this.state = undefined;
          break;
        case op.brTable:
          for (const depth of instruction.depths) this.branch(depth);
          out.u8(op.brTable).u32(instruction.depths.length - 1);
          for (const depth of instruction.depths) out.u32(this.depth(depth));
          this.state = undefined;
          break;
        case op.return:
          this.flush();
          if (this.state !== undefined) this.noteEnd(this.state);
          this.copy();
          this.state = undefined;
          break;
        case op.unreachable:
          this.copy();
          this.state = undefined;
          break;
        case op.call:
          this.call(instruction.immediate);
          break;
        case op.callIndirect:
          this.callIndirect(instruction.immediate);
          break;
        case op.memoryGrow:
          out.u8(op.call).u32(this.context.memoryGrowFunction);
          break;
        case op.i32Const:
          this.lastConstant = instruction.immediate;
          this.copy();
          break;
        case op.bulk:
          this.bulk(constant);
          break;
        default:
          this.copy();
      }
      this.limitDistance();
      this.takeCharge();
    }
    if (this.frames.length > 0) throw new MalformedModule(`function ${this.index} does not end`);
    this.noteDistance();
    this.context.charges[this.index] = this.endCharge;
    return { body: out, unlikely: this.unlikely };
  }

  private noteDistance(): void {
    const { distances, graph, indirectDistances, module } = this.context;
    distances[this.index] = this.endDistance;
    if (!graph.isInTable(this.index)) return;
    const signature = graph.signature(module.functions[this.index - module.importedFunctions.length]!);
    indirectDistances.set(signature, Math.max(this.endDistance, indirectDistances.get(signature) ?? 0));
  }

  private spend(distance: number, charge: number): void {
    if (this.state === undefined) return;
    this.state.distance += distance;
    this.state.charge += charge;
  }

  private noteEnd(state: State): void {
    this.endDistance = Math.max(this.endDistance, state.distance);
    this.endCharge = Math.max(this.endCharge, state.charge);
  }

  private resultBlockType(): number {
    const { results } = this.type;
    if (results.length === 0) return EMPTY_BLOCK;
    return results.length === 1 ? results[0]! : 256 + this.context.resultType(results);
  }

  private copy(): void {
    this.out.raw(this.context.module.bytes, this.instruction.start, this.instruction.end);
  }

  private open(kind: number, isExitForm: boolean): void {
    const elseState = kind === op.if && this.state !== undefined ? { ...this.state } : undefined;
    this.frames.push({ kind, isExitForm, elseState, merged: undefined });
    if (kind === op.loop) this.loopDepth++;
  }

  /**
   * Exit form, with its three labels around the loop:
   *   block $out R  loop $again  block $tick  loop $L R  count; br_if $tick  …body…  end  br $out  end
   *   fuel check  br $again  end  unreachable  end
   */
  private openLoop(plan: LoopPlan): void {
    const { out } = this;
    const blockType = Uint8Array.from(writeBlockTypeBytes(this.instruction.immediate));
    this.spend((ROUNDS_PER_CHECK / plan.weight) * Math.min(plan.instructions, STRAIGHT_LIMIT), 0);
    if (this.state !== undefined) this.state.isDirty = true;
    if (!plan.isExitForm) {
      this.open(op.loop, false);
      this.copy();
      this.writeCount(plan.weight);
      this.unlikely.push(out.length);
      out.u8(op.if).u8(EMPTY_BLOCK);
      this.writeFuelCheck(0, true);
      this.writeCounterReset();
      out.u8(op.end);
      return;
    }
    this.exitFrame = this.frames.length;
    this.open(op.loop, true);
    out.u8(op.block).raw(blockType);
    out.u8(op.loop).u8(EMPTY_BLOCK);
    out.u8(op.block).u8(EMPTY_BLOCK);
    out.u8(op.loop).raw(blockType);
    this.writeCount(plan.weight);
    this.unlikely.push(out.length);
    out.u8(op.brIf).u32(1);
  }

  private turnToElse(): void {
    const frame = this.frames[this.frames.length - 1]!;
    if (this.state !== undefined) merge(frame, this.state);
    this.state = frame.elseState;
    frame.elseState = undefined;
  }

  private close(): void {
    const { out } = this;
    const frame = this.frames.pop();
    if (frame === undefined) throw new MalformedModule(`function ${this.index} ends twice`);
    if (frame.kind === op.loop) this.loopDepth--;
    if (this.state !== undefined) merge(frame, this.state);
    if (frame.elseState !== undefined) merge(frame, frame.elseState); // an `if` without `else`
    this.state = frame.merged;
    if (this.frames.length === 0) {
      if (this.usesCounter) out.u8(op.end);
      this.flush();
      if (this.state !== undefined) this.noteEnd(this.state);
      this.state = undefined;
      out.u8(op.end);
      return;
    }
    out.u8(op.end);
    if (!frame.isExitForm) return;
    this.exitFrame = -1;
    out.u8(op.br).u32(2).u8(op.end);
    this.writeFuelCheck(0, true);
    this.writeCounterReset();
    out.u8(op.br).u32(0).u8(op.end);
    out.u8(op.unreachable).u8(op.end);
  }

  private branch(depth: number): void {
    const frame = this.frames[this.frames.length - 1 - depth];
    if (frame === undefined) throw new MalformedModule(`function ${this.index} branches out of itself`);
    if (this.state !== undefined && frame.kind !== op.loop) merge(frame, this.state);
  }

  /** A branch that leaves an exit-form loop passes its three labels. */
  private depth(depth: number): number {
    const target = this.frames.length - 1 - depth;
    return this.exitFrame > target ? depth + 3 : depth;
  }

  private call(callee: number): void {
    const { context } = this;
    const mayUnwind = !context.isImmediate(callee);
    const isReset =
      mayUnwind &&
      this.prepareCall(
        distanceOf(context, callee),
        chargeOf(context, callee),
        context.graph.isBackEdge(this.index, callee),
      );
    if (!mayUnwind) this.spend(COST_CALL_OUT, COST_CALL_OUT);
    this.out.u8(op.call).u32(context.renumber(callee));
    if (isReset) this.writeCounterReset();
  }

  private callIndirect(type: number): void {
    const { context } = this;
    const closesCycle = context.graph.isIndirectBackEdge(this.index, type);
    const isReset = this.prepareCall(indirectDistance(context, type), COST_CALL_OUT, closesCycle);
    this.copy();
    if (isReset) this.writeCounterReset();
  }

  /**
   * The check that a call needs, if any: it closes a cycle, the path grows too long, or a loop's rounds are not yet
   * accounted for. @returns whether the counter must be set to zero after the call: not before, so that it is dead
   * during the call
   */
  private prepareCall(distance: number, charge: number, closesCycle: boolean): boolean {
    const { state } = this;
    if (state === undefined) return false;
    this.spend(distance, charge);
    const { isDirty } = state;
    const isInLoop = this.loopDepth > 0;
    if ((closesCycle && !state.isChecked) || state.distance > STRAIGHT_LIMIT || (isDirty && isInLoop))
      this.checkFuel(1 + Math.floor(state.charge / INSTRUCTIONS_PER_UNIT), isDirty);
    else if (isDirty) this.writeFlush();
    state.isDirty = false;
    return isDirty;
  }

  private bulk(length: number): void {
    const { out } = this;
    const { sub } = this.instruction;
    // A dropped segment only frees memory; kept, it makes the image independent of what was dropped.
    if (sub === bulkOp.dataDrop || sub === bulkOp.elemDrop) return;
    if (isCopy(sub) && !(length >= 0 && length <= BULK_FREE_BYTES)) {
      out.u8(op.localTee).u32(this.scratchLocal);
      out.u8(op.globalGet).u32(this.context.fuelGlobal);
      out.u8(op.localGet).u32(this.scratchLocal).u8(op.i32Const).s32(BULK_BYTES_PER_UNIT_LOG2).u8(op.i32ShrU);
      out.u8(op.i32Sub).u8(op.globalSet).u32(this.context.fuelGlobal);
      this.spend(COST_BULK, 0);
    }
    this.copy();
  }

  private limitDistance(): void {
    const { state } = this;
    if (state === undefined || state.distance <= STRAIGHT_LIMIT || this.exitFrame >= 0) return;
    const { isDirty } = state;
    this.checkFuel(Math.ceil(state.charge / INSTRUCTIONS_PER_UNIT), isDirty);
    if (isDirty) this.writeCounterReset();
    state.isDirty = false;
  }

  private takeCharge(): void {
    const { state, out } = this;
    if (state === undefined || state.charge < CHARGE_EVERY) return;
    out.u8(op.globalGet).u32(this.context.fuelGlobal);
    out
      .u8(op.i32Const)
      .s32(Math.ceil(state.charge / INSTRUCTIONS_PER_UNIT))
      .u8(op.i32Sub);
    out.u8(op.globalSet).u32(this.context.fuelGlobal);
    state.charge = 0;
  }

  private checkFuel(units: number, withCounter: boolean): void {
    this.writeFuelCheck(units, withCounter);
    if (this.state === undefined) return;
    this.state.distance = 0;
    this.state.charge = 0;
    this.state.isChecked = true;
  }

  /** Counts a round; leaves on the stack whether a check is due. */
  private writeCount(weight: number): void {
    const { out, counterLocal } = this;
    out.u8(op.localGet).u32(counterLocal).u8(op.i32Const).s32(weight).u8(op.i32Add);
    out.u8(op.localTee).u32(counterLocal).u8(op.i32Const).s32(ROUNDS_PER_CHECK).u8(op.i32GtU);
  }

  private writeFuelCheck(units: number, withCounter: boolean): void {
    const { out, counterLocal, scratchLocal } = this;
    const { fuelGlobal, safePointFunction } = this.context;
    out.u8(op.globalGet).u32(fuelGlobal);
    if (units > 0) out.u8(op.i32Const).s32(units).u8(op.i32Sub);
    if (withCounter) out.u8(op.localGet).u32(counterLocal).u8(op.i32Sub);
    out.u8(op.localTee).u32(scratchLocal).u8(op.globalSet).u32(fuelGlobal);
    out.u8(op.localGet).u32(scratchLocal).u8(op.i32Const).s32(0).u8(op.i32LtS);
    this.unlikely.push(out.length);
    out.u8(op.if).u8(EMPTY_BLOCK).u8(op.call).u32(safePointFunction).u8(op.end);
  }

  private writeCounterReset(): void {
    this.out.u8(op.i32Const).s32(0).u8(op.localSet).u32(this.counterLocal);
  }

  private writeFlush(): void {
    const { out, counterLocal } = this;
    const { fuelGlobal } = this.context;
    out.u8(op.globalGet).u32(fuelGlobal).u8(op.localGet).u32(counterLocal).u8(op.i32Sub);
    out.u8(op.globalSet).u32(fuelGlobal);
  }

  /** At the function's end: takes the rounds counted so far from the fuel. */
  private flush(): void {
    if (this.state?.isDirty) this.writeFlush();
  }
}

function merge(frame: Frame, state: State): void {
  const { merged } = frame;
  if (merged === undefined) frame.merged = { ...state };
  else {
    merged.distance = Math.max(merged.distance, state.distance);
    merged.charge = Math.max(merged.charge, state.charge);
    merged.isChecked &&= state.isChecked;
    merged.isDirty ||= state.isDirty;
  }
}

const isCopy = (sub: number): boolean =>
  sub === bulkOp.memoryCopy || sub === bulkOp.memoryFill || sub === bulkOp.memoryInit;

function distanceOf(context: SafePointContext, callee: number): number {
  if (callee < context.module.importedFunctions.length) return COST_CALL_OUT;
  const distance = context.distances[callee]!;
  return distance < 0 ? DISTANCE_UNKNOWN : distance;
}

/** Of a function on a cycle nothing is known yet, but it takes its own fuel. */
function chargeOf(context: SafePointContext, callee: number): number {
  return callee < context.module.importedFunctions.length
    ? COST_CALL_OUT
    : Math.max(0, context.charges[callee]!);
}

/** The longest of the functions that such a call may reach, as far as known; those on a cycle are not yet. */
function indirectDistance(context: SafePointContext, type: number): number {
  const known = context.indirectDistances.get(context.graph.signature(type)) ?? 0;
  return Math.max(known, DISTANCE_UNKNOWN);
}

/** Looks through a function once: for each loop, in order, which form it gets and what a round weighs. */
function surveyLoops(context: SafePointContext, index: number, start: number, end: number): LoopPlan[] {
  const { module } = context;
  const plans: LoopPlan[] = [];
  const open: { isLoop: boolean; outer: LoopPlan | undefined }[] = [{ isLoop: false, outer: undefined }];
  const reader = new BinaryReader(module.bytes, start, end);
  const instruction = new Instruction();
  let inner: LoopPlan | undefined; // the innermost open loop
  let constant = -1;
  while (!reader.isDone && open.length > 0) {
    decode(reader, instruction);
    const previous = constant;
    constant = -1;
    switch (instruction.code) {
      case op.block:
      case op.if:
        open.push({ isLoop: false, outer: inner });
        break;
      case op.loop: {
        if (inner !== undefined) inner.isExitForm = false; // and so are those around it, since it was opened
        open.push({ isLoop: true, outer: inner });
        inner = { isExitForm: !hasParameters(module, instruction.immediate), weight: 1, instructions: 0 };
        plans.push(inner);
        break;
      }
      case op.end:
        inner = open.pop()!.outer;
        break;
      case op.call:
        if (inner === undefined) break;
        if (context.isImmediate(instruction.immediate)) inner.instructions += COST_CALL_OUT;
        else inner.isExitForm = false;
        break;
      case op.callIndirect:
        if (inner !== undefined) inner.isExitForm = false;
        break;
      case op.i32Const:
        constant = instruction.immediate;
        break;
      case op.bulk:
        if (isCopy(instruction.sub) && inner !== undefined && !(previous >= 0 && previous <= BULK_FREE_BYTES))
          inner.isExitForm = false;
        break;
    }
    if (inner !== undefined) inner.instructions++;
  }
  if (open.length > 0) throw new MalformedModule(`function ${index} does not end`);
  for (const plan of plans) {
    if (plan.instructions > STRAIGHT_LIMIT / 4) plan.isExitForm = false;
    plan.weight = Math.min(
      Math.max(1, Math.round(plan.instructions / INSTRUCTIONS_PER_UNIT)),
      ROUND_WEIGHT_MAXIMUM,
    );
  }
  return plans;
}

const hasParameters = (module: ParsedModule, blockType: number): boolean =>
  blockType >= 256 && (module.types[blockType - 256]?.parameters.length ?? 0) > 0;
