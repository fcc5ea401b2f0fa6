// The dvos module: what WASI has no call for (AssemblyScript).

// @ts-ignore: decorator
@external("dvos", "getpid")
export declare function getpid(): i32;
// @ts-ignore: decorator
@external("dvos", "node_index")
export declare function node_index(): i32;
// @ts-ignore: decorator
@external("dvos", "node_count")
export declare function node_count(): i32;
// @ts-ignore: decorator
@external("dvos", "node_name")
export declare function node_name(pointer: usize, length: i32): i32;

const NAME_BYTES: i32 = 256;
const name: usize = memory.data(NAME_BYTES);

export function nodeName(): string {
  const length = node_name(name, NAME_BYTES);
  if (length < 0) return "?";
  return String.UTF8.decodeUnsafe(name, length < NAME_BYTES ? length : NAME_BYTES);
}
