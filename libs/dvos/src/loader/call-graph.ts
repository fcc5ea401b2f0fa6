import { BinaryReader } from './binary.js';
import { decode, Instruction, op } from './instructions.js';
import type { FunctionType, ParsedModule } from './module.js';

/**
 * Who calls whom, and which calls close a cycle.
 *
 * A depth-first search from `_start` classifies every edge. The targets of its *back edges* cut all cycles, so a
 * program can recurse without end only through a call that is a back edge: a safe point on the way to each of those
 * bounds all recursion. An indirect call goes through a node that stands for its signature, and from there to every
 * function of that signature that is in some table.
 */
export interface CallGraph {
  /** Defined functions, callees before callers (as far as there is no cycle); indices of the function space. */
  order: number[];
  isBackEdge(caller: number, callee: number): boolean;
  isIndirectBackEdge(caller: number, type: number): boolean;
  /** The first type with the same parameters and results: indirect calls of both reach the same functions. */
  signature(type: number): number;
  isInTable(index: number): boolean;
}

export function buildCallGraph(
  module: ParsedModule,
  bodyStarts: readonly number[],
  roots: readonly number[],
): CallGraph {
  const imported = module.importedFunctions.length;
  const functions = module.functions.length;
  const signature = signatures(module.types);
  const inTables = tableFunctionsBySignature(module, signature);
  const callees = module.bodies.map((body, i) =>
    directCalls(module, bodyStarts[i]!, body.end, imported, signature),
  );

  // Nodes: 0..functions-1 are functions, functions+s stands for the indirect calls of signature s.
  const nodes = functions + module.types.length;
  const successors = (node: number): readonly number[] =>
    node < functions ? callees[node]! : (inTables.get(node - functions) ?? []).map((f) => f - imported);

  const state = new Uint8Array(nodes); // 0 new, 1 on the path, 2 done
  const back = new Map<number, Set<number>>();
  const order: number[] = [];
  const path: { node: number; next: number; to: readonly number[] }[] = [];
  const visit = (root: number): void => {
    if (root < 0 || state[root] !== 0) return;
    state[root] = 1;
    path.push({ node: root, next: 0, to: successors(root) });
    while (path.length > 0) {
      const top = path[path.length - 1]!;
      if (top.next === top.to.length) {
        state[top.node] = 2;
        if (top.node < functions) order.push(top.node + imported);
        path.pop();
        continue;
      }
      const next = top.to[top.next++]!;
      if (state[next] === 0) {
        state[next] = 1;
        path.push({ node: next, next: 0, to: successors(next) });
      } else if (state[next] === 1) {
        const known = back.get(top.node);
        if (known === undefined) back.set(top.node, new Set([next]));
        else known.add(next);
      }
    }
  };
  for (const root of roots) visit(root - imported);
  for (let i = 0; i < functions; i++) visit(i);

  // An edge from a signature's node back to a function is not at a call site: the check moves to the sites of that
  // signature, which are all the edges into the node.
  const tabled = new Set([...inTables.values()].flat());
  const closesCycle = new Set<number>();
  for (const from of back.keys()) if (from >= functions) closesCycle.add(from);

  return {
    order,
    isBackEdge: (caller, callee) => back.get(caller - imported)?.has(callee - imported) ?? false,
    isIndirectBackEdge: (caller, type) => {
      const node = functions + signature[type]!;
      return closesCycle.has(node) || (back.get(caller - imported)?.has(node) ?? false);
    },
    signature: (type) => signature[type]!,
    isInTable: (index) => tabled.has(index),
  };
}

/** type index -> the first type index that has the same parameters and results */
function signatures(types: readonly FunctionType[]): number[] {
  const first = new Map<string, number>();
  return types.map((type, index) => {
    const key = `${type.parameters.join()}>${type.results.join()}`;
    const known = first.get(key);
    if (known !== undefined) return known;
    first.set(key, index);
    return index;
  });
}

function tableFunctionsBySignature(
  module: ParsedModule,
  signature: readonly number[],
): Map<number, number[]> {
  const imported = module.importedFunctions.length;
  const found = new Map<number, Set<number>>();
  for (const segment of module.elements)
    for (const index of segment.functions) {
      if (index < imported) continue;
      const key = signature[module.functions[index - imported]!]!;
      const known = found.get(key);
      if (known === undefined) found.set(key, new Set([index]));
      else known.add(index);
    }
  return new Map([...found].map(([key, set]) => [key, [...set]]));
}

function directCalls(
  module: ParsedModule,
  start: number,
  end: number,
  imported: number,
  signature: readonly number[],
): number[] {
  const found = new Set<number>();
  const reader = new BinaryReader(module.bytes, start, end);
  const instruction = new Instruction();
  while (!reader.isDone) {
    decode(reader, instruction);
    if (instruction.code === op.call) {
      if (instruction.immediate >= imported) found.add(instruction.immediate - imported);
    } else if (instruction.code === op.callIndirect)
      found.add(module.functions.length + signature[instruction.immediate]!);
  }
  return [...found];
}
