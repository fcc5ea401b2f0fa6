// WASI preview 1 and the dvos module, as far as the demonstration programs need them (AssemblyScript).
// Pointers are usize; every call returns an errno, 0 for success.

// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_write")
export declare function fd_write(fd: i32, vectors: usize, count: i32, written: usize): i32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_read")
export declare function fd_read(fd: i32, vectors: usize, count: i32, read: usize): i32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_close")
export declare function fd_close(fd: i32): i32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_prestat_get")
export declare function fd_prestat_get(fd: i32, result: usize): i32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_prestat_dir_name")
export declare function fd_prestat_dir_name(fd: i32, path: usize, length: i32): i32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "path_open")
export declare function path_open(
  fd: i32, lookup: i32, path: usize, length: i32, create: i32, rights: i64, inherited: i64, flags: i32, result: usize,
): i32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "args_sizes_get")
export declare function args_sizes_get(count: usize, size: usize): i32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "args_get")
export declare function args_get(pointers: usize, buffer: usize): i32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "clock_time_get")
export declare function clock_time_get(clock: i32, precision: i64, result: usize): i32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "poll_oneoff")
export declare function poll_oneoff(subscriptions: usize, events: usize, count: i32, result: usize): i32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "proc_exit")
export declare function proc_exit(code: i32): void;

export const STDIN: i32 = 0;
export const STDOUT: i32 = 1;
export const STDERR: i32 = 2;

const scratch: usize = memory.data(64, 8);

/** What `--use abort=` names: AssemblyScript calls it when an assertion of its own fails. */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  writeText(STDERR, "aborted: " + (message === null ? "" : message) + " (" + (file === null ? "" : file) + ":" + line.toString() + ")\n");
  proc_exit(134);
}

/** Writes all of the bytes; ends the program when that fails. */
export function writeBytes(fd: i32, pointer: usize, length: i32): void {
  while (length > 0) {
    store<u32>(scratch, <u32>pointer);
    store<u32>(scratch, length, 4);
    const error = fd_write(fd, scratch, 1, scratch + 8);
    if (error != 0) proc_exit(74);
    const written = load<i32>(scratch, 8);
    pointer += written;
    length -= written;
  }
}

export function writeText(fd: i32, text: string): void {
  const bytes = String.UTF8.encode(text);
  writeBytes(fd, changetype<usize>(bytes), bytes.byteLength);
}

export function print(line: string): void {
  writeText(STDOUT, line + "\n");
}

export function fail(message: string): void {
  writeText(STDERR, message + "\n");
  proc_exit(1);
}

/** The arguments, the program's name first. */
export function args(): string[] {
  args_sizes_get(scratch, scratch + 4);
  const count = load<i32>(scratch);
  const size = load<i32>(scratch, 4);
  const pointers = new StaticArray<u32>(count);
  const buffer = new StaticArray<u8>(size + 1);
  args_get(changetype<usize>(pointers), changetype<usize>(buffer));
  const result: string[] = [];
  for (let i = 0; i < count; i++) result.push(String.UTF8.decodeUnsafe(<usize>pointers[i], <usize>size, true));
  return result;
}

/** Argument `index` as a whole number, or `otherwise` when it is not there. */
export function numberArgument(index: i32, otherwise: i64): i64 {
  const all = args();
  if (index >= all.length) return otherwise;
  const value = I64.parseInt(all[index]);
  if (value < 0 || (value == 0 && all[index] != "0")) {
    fail("\"" + all[index] + "\" is not a whole number");
  }
  return value;
}

/** Milliseconds of the monotonic clock. */
export function monotonicMs(): i64 {
  clock_time_get(1, 1000000, scratch);
  return load<i64>(scratch) / 1000000;
}

const subscription: usize = memory.data(48, 8);
const event: usize = memory.data(32, 8);

export function sleepMs(milliseconds: i64): void {
  memory.fill(subscription, 0, 48);
  store<u8>(subscription, 0, 8); // a clock
  store<u32>(subscription, 1, 16); // the monotonic one
  store<i64>(subscription, milliseconds * 1000000, 24);
  poll_oneoff(subscription, event, 1, scratch);
}

export const READ: i32 = 1;
export const WRITE: i32 = 2;

/** Opens a file below one of the directories that were given to the program. @returns fd, or -errno */
export function open(path: string, mode: i32): i32 {
  const isAbsolute = path.startsWith("/");
  let bestFd = -1;
  let bestLength = -1;
  for (let fd = 3; fd < 64; fd++) {
    if (fd_prestat_get(fd, scratch) != 0) break;
    const length = load<i32>(scratch, 4);
    const name = new ArrayBuffer(length);
    if (fd_prestat_dir_name(fd, changetype<usize>(name), length) != 0) continue;
    let directory = String.UTF8.decode(name);
    if (directory == "." || directory == "./") directory = "";
    if (!isAbsolute && directory != "" && directory != "/") continue;
    if (isAbsolute && !(path == directory || directory == "/" || path.startsWith(directory + "/"))) continue;
    if (directory.length > bestLength) {
      bestFd = fd;
      bestLength = directory.length;
    }
  }
  if (bestFd < 0) return -44;
  let rest = isAbsolute ? path.substring(bestLength) : path;
  while (rest.startsWith("/")) rest = rest.substring(1);
  const bytes = String.UTF8.encode(rest);
  const create = mode == WRITE ? 1 | 8 : 0; // O_CREAT | O_TRUNC
  const rights: i64 = mode == WRITE ? 64 | 4194304 | 2097152 : 2 | 4 | 2097152;
  const error = path_open(bestFd, 1, changetype<usize>(bytes), bytes.byteLength, create, rights, rights, 0, scratch);
  return error != 0 ? -error : load<i32>(scratch);
}

/** @returns bytes read, 0 at the end, or -errno */
export function read(fd: i32, pointer: usize, length: i32): i32 {
  store<u32>(scratch, <u32>pointer);
  store<u32>(scratch, length, 4);
  const error = fd_read(fd, scratch, 1, scratch + 8);
  return error != 0 ? -error : load<i32>(scratch, 8);
}
