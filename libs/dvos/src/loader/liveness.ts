import { BinaryReader } from './binary.js';
import { decode, Instruction, op } from './instructions.js';

/**
 * Which locals hold, after some site, a value that is still read: those are what a frame must save.
 * Backward data flow over the structured code, repeated until the loops' heads no longer change.
 */
export function liveAtSites(
  bytes: Uint8Array,
  start: number,
  end: number,
  localCount: number,
  isSite: (instruction: Instruction) => boolean,
): (local: number) => boolean {
  const events = collect(bytes, start, end, isSite);
  if (localCount * events.list.length > ANALYSED_BITS) return () => true;
  const analysis = new Analysis(events.list, events.tables, localCount);
  for (let pass = 0; pass < PASSES_MAXIMUM; pass++)
    if (!analysis.pass()) return (local) => analysis.isLive(local);
  return () => true;
}

/** Beyond this many bits of state the analysis is left out, and everything is saved. */
const ANALYSED_BITS = 2 ** 30;
/** Loops nested n deep settle in about n passes. */
const PASSES_MAXIMUM = 24;

enum Event {
  get,
  set,
  site,
  block,
  loop,
  if,
  else,
  end,
  branch,
  branchIf,
  branchTable,
  leave,
}

interface Collected {
  /** pairs: event, argument (a local, a depth, the number of a loop, an index of `tables`) */
  list: Int32Array;
  tables: number[][];
}

function collect(
  bytes: Uint8Array,
  start: number,
  end: number,
  isSite: (instruction: Instruction) => boolean,
): Collected {
  let list = new Int32Array(1024);
  let length = 0;
  const add = (event: Event, argument: number): void => {
    if (length + 2 > list.length) {
      const larger = new Int32Array(list.length * 2);
      larger.set(list);
      list = larger;
    }
    list[length++] = event;
    list[length++] = argument;
  };
  const tables: number[][] = [];
  const reader = new BinaryReader(bytes, start, end);
  const instruction = new Instruction();
  let loops = 0;
  while (!reader.isDone) {
    decode(reader, instruction);
    const { code, immediate } = instruction;
    if (code === op.localGet) add(Event.get, immediate);
    else if (code === op.localSet || code === op.localTee) add(Event.set, immediate);
    else if (code === op.block) add(Event.block, 0);
    else if (code === op.loop) {
      add(Event.loop, loops++);
    } else if (code === op.if) add(Event.if, 0);
    else if (code === op.else) add(Event.else, 0);
    else if (code === op.end) add(Event.end, 0);
    else if (code === op.br) add(Event.branch, immediate);
    else if (code === op.brIf) add(Event.branchIf, immediate);
    else if (code === op.brTable) add(Event.branchTable, tables.push([...new Set(instruction.depths)]) - 1);
    else if (code === op.return || code === op.unreachable) add(Event.leave, 0);
    else if (isSite(instruction)) add(Event.site, 0);
  }
  return { list: list.subarray(0, length), tables };
}

interface Open {
  /** live after the construct's end: where a branch to a block or an `if` leads */
  after: Uint32Array;
  /** live at the head of the `else` arm, once that has been passed */
  atElse: Uint32Array | undefined;
  /** live at the head, for a loop: where a branch to it leads */
  atHead: Uint32Array | undefined;
}

class Analysis {
  private readonly words: number;
  private readonly atSites: Uint32Array;
  private readonly loopHeads = new Map<number, Uint32Array>();
  /** the loop that each `end` closes, or -1; found once */
  private readonly loopOfEnd: Int32Array;

  constructor(
    private readonly list: Int32Array,
    private readonly tables: number[][],
    localCount: number,
  ) {
    this.words = (localCount + 31) >>> 5;
    this.atSites = new Uint32Array(this.words);
    this.loopOfEnd = new Int32Array(list.length / 2).fill(-1);
    const open: number[] = [-1];
    for (let i = 0; i < list.length; i += 2) {
      const event = list[i]!;
      if (event === Event.block || event === Event.if) open.push(-1);
      else if (event === Event.loop) open.push(list[i + 1]!);
      else if (event === Event.end) this.loopOfEnd[i / 2] = open.pop() ?? -1;
    }
  }

  isLive(local: number): boolean {
    return ((this.atSites[local >>> 5]! >>> (local & 31)) & 1) === 1;
  }

  /** Once through the code from its end to its start. @returns whether a loop's head has changed */
  pass(): boolean {
    const { list, words } = this;
    let isChanged = false;
    let live: Uint32Array = new Uint32Array(words);
    const open: Open[] = [];
    const target = (depth: number): Uint32Array => {
      const frame = open[open.length - 1 - depth]!;
      return frame.atHead ?? frame.after;
    };
    for (let i = list.length - 2; i >= 0; i -= 2) {
      const argument = list[i + 1]!;
      switch (list[i] as Event) {
        case Event.get:
          live[argument >>> 5]! |= 1 << (argument & 31);
          break;
        case Event.set:
          live[argument >>> 5]! &= ~(1 << (argument & 31));
          break;
        case Event.site:
          unite(this.atSites, live);
          break;
        case Event.end: {
          const loop = this.loopOfEnd[i / 2]!;
          const atHead = loop >= 0 ? (this.loopHeads.get(loop) ?? new Uint32Array(words)) : undefined;
          open.push({ after: live.slice(), atElse: undefined, atHead });
          break;
        }
        case Event.else: {
          const frame = open[open.length - 1]!;
          frame.atElse = live;
          live = frame.after.slice();
          break;
        }
        case Event.if: {
          const frame = open.pop()!;
          unite(live, frame.atElse ?? frame.after);
          break;
        }
        case Event.block:
          open.pop();
          break;
        case Event.loop: {
          const { atHead } = open.pop()!;
          if (unite(atHead!, live)) {
            isChanged = true;
            this.loopHeads.set(argument, atHead!);
          }
          break;
        }
        case Event.branch:
          live = target(argument).slice();
          break;
        case Event.branchIf:
          unite(live, target(argument));
          break;
        case Event.branchTable:
          live = new Uint32Array(words);
          for (const depth of this.tables[argument]!) unite(live, target(depth));
          break;
        case Event.leave:
          live = new Uint32Array(words);
          break;
      }
    }
    return isChanged;
  }
}

function unite(into: Uint32Array, other: Uint32Array): boolean {
  let isChanged = false;
  for (let i = 0; i < into.length; i++) {
    const united = (into[i]! | other[i]!) >>> 0;
    if (united !== into[i]) {
      into[i] = united;
      isChanged = true;
    }
  }
  return isChanged;
}
