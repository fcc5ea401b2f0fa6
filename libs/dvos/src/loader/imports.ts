/**
 * The functions a guest program may import: WASI preview 1 and the `dvos` module, with their signatures.
 *
 * One table for the loader (which refuses unknown names and tells Asyncify which calls may unwind) and for the
 * kernel (which must bind every one of them), so that the two cannot disagree.
 *
 * Sources: WASI `wasi_snapshot_preview1.witx`; the `dvos` calls follow MINIX 3 (`getpid`, `sendrec`, `notify`,
 * grants, `safecopyfrom`) and the DVK's migration call.
 */

/** `i` is an i32 (also pointers and sizes), `I` an i64 (a bigint at the JavaScript boundary). */
type Letters = string;

export type ValueType = 'i32' | 'i64' | 'f32' | 'f64';

/**
 * `blocking`: the call may suspend the process, so the code that calls it can be unwound there.
 * `immediate`: the kernel answers at once, always; a process is never unwound inside it.
 */
export type ImportKind = 'blocking' | 'immediate';

export interface KnownImport {
  readonly module: ImportModule;
  readonly name: string;
  readonly parameters: readonly ValueType[];
  readonly results: readonly ValueType[];
  readonly kind: ImportKind;
}

/** Modules under which known imports may be asked for. `wasi_unstable` is preview 0: the names of preview 1. */
export type ImportModule = 'wasi_snapshot_preview1' | 'wasi_unstable' | 'dvos';

const LETTERS: Readonly<Record<string, ValueType>> = { i: 'i32', I: 'i64', f: 'f32', F: 'f64' };

/** name: [parameters, results, kind] */
const WASI: Readonly<Record<string, readonly [Letters, Letters, ImportKind]>> = {
  args_get: ['ii', 'i', 'immediate'],
  args_sizes_get: ['ii', 'i', 'immediate'],
  environ_get: ['ii', 'i', 'immediate'],
  environ_sizes_get: ['ii', 'i', 'immediate'],
  clock_res_get: ['ii', 'i', 'immediate'],
  clock_time_get: ['iIi', 'i', 'immediate'],
  random_get: ['ii', 'i', 'immediate'],
  fd_advise: ['iIIi', 'i', 'blocking'],
  fd_allocate: ['iII', 'i', 'blocking'],
  fd_close: ['i', 'i', 'blocking'],
  fd_datasync: ['i', 'i', 'blocking'],
  fd_fdstat_get: ['ii', 'i', 'blocking'],
  fd_fdstat_set_flags: ['ii', 'i', 'blocking'],
  fd_fdstat_set_rights: ['iII', 'i', 'blocking'],
  fd_filestat_get: ['ii', 'i', 'blocking'],
  fd_filestat_set_size: ['iI', 'i', 'blocking'],
  fd_filestat_set_times: ['iIIi', 'i', 'blocking'],
  fd_pread: ['iiiIi', 'i', 'blocking'],
  fd_prestat_get: ['ii', 'i', 'blocking'],
  fd_prestat_dir_name: ['iii', 'i', 'blocking'],
  fd_pwrite: ['iiiIi', 'i', 'blocking'],
  fd_read: ['iiii', 'i', 'blocking'],
  fd_readdir: ['iiiIi', 'i', 'blocking'],
  fd_renumber: ['ii', 'i', 'blocking'],
  fd_seek: ['iIii', 'i', 'blocking'],
  fd_sync: ['i', 'i', 'blocking'],
  fd_tell: ['ii', 'i', 'blocking'],
  fd_write: ['iiii', 'i', 'blocking'],
  path_create_directory: ['iii', 'i', 'blocking'],
  path_filestat_get: ['iiiii', 'i', 'blocking'],
  path_filestat_set_times: ['iiiiIIi', 'i', 'blocking'],
  path_link: ['iiiiiii', 'i', 'blocking'],
  path_open: ['iiiiiIIii', 'i', 'blocking'],
  path_readlink: ['iiiiii', 'i', 'blocking'],
  path_remove_directory: ['iii', 'i', 'blocking'],
  path_rename: ['iiiiii', 'i', 'blocking'],
  path_symlink: ['iiiii', 'i', 'blocking'],
  path_unlink_file: ['iii', 'i', 'blocking'],
  poll_oneoff: ['iiii', 'i', 'blocking'],
  proc_exit: ['i', '', 'blocking'],
  proc_raise: ['i', 'i', 'blocking'],
  sched_yield: ['', 'i', 'blocking'],
  sock_accept: ['iii', 'i', 'blocking'],
  sock_recv: ['iiiiii', 'i', 'blocking'],
  sock_send: ['iiiii', 'i', 'blocking'],
  sock_shutdown: ['ii', 'i', 'blocking'],
};

/**
 * What WASI lacks. Results are MINIX statuses: 0 or a positive value, or a negative error.
 * A message is 64 bytes: i32 source, i32 type, 56 bytes of payload.
 */
const DVOS: Readonly<Record<string, readonly [Letters, Letters, ImportKind]>> = {
  getpid: ['', 'i', 'immediate'],
  getppid: ['', 'i', 'blocking'],
  node_index: ['', 'i', 'immediate'],
  node_count: ['', 'i', 'immediate'],
  /** (pointer, length) -> the name's length in bytes; at most `length` bytes of it are written, without a NUL. */
  node_name: ['ii', 'i', 'immediate'],
  /** (pid, signal) */
  kill: ['ii', 'i', 'blocking'],
  /** (node index): the caller itself moves there. */
  migrate: ['i', 'i', 'blocking'],
  yield: ['', 'i', 'blocking'],
  endpoint: ['', 'i', 'immediate'],
  /** (destination endpoint, message pointer) */
  send: ['ii', 'i', 'blocking'],
  /** (source endpoint or ANY, message pointer) */
  receive: ['ii', 'i', 'blocking'],
  sendrec: ['ii', 'i', 'blocking'],
  notify: ['i', 'i', 'blocking'],
  /** (to endpoint, pointer, length, access: 1 read, 2 write) -> grant id */
  grant: ['iiii', 'i', 'immediate'],
  /** (grant id) */
  revoke: ['i', 'i', 'immediate'],
  /** (granter endpoint, grant id, offset in the grant, pointer, length) */
  safecopyfrom: ['iiiii', 'i', 'blocking'],
  safecopyto: ['iiiii', 'i', 'blocking'],
};

const spell = (letters: Letters): ValueType[] => [...letters].map((letter) => LETTERS[letter]!);

const table = (
  module: ImportModule,
  entries: Readonly<Record<string, readonly [Letters, Letters, ImportKind]>>,
) =>
  Object.entries(entries).map(
    ([name, [parameters, results, kind]]): KnownImport => ({
      module,
      name,
      parameters: spell(parameters),
      results: spell(results),
      kind,
    }),
  );

/** Every import that a guest may use; each WASI call appears under both of its module names. */
export const KNOWN_IMPORTS: readonly KnownImport[] = [
  ...table('wasi_snapshot_preview1', WASI),
  ...table('wasi_unstable', WASI),
  ...table('dvos', DVOS),
];

export const IMPORT_MODULES: readonly ImportModule[] = ['wasi_snapshot_preview1', 'wasi_unstable', 'dvos'];

const byName = new Map(KNOWN_IMPORTS.map((known) => [`${known.module}.${known.name}`, known]));

export const knownImport = (module: string, name: string): KnownImport | undefined =>
  byName.get(`${module}.${name}`);

/** What the loader itself adds: the module name of its imports and the prefix of its exports. */
export const DRVS_MODULE = 'drvs';
/** The memory, one for all processes of a thread, that holds the stacks of unwound processes, one slot each. */
export const STACK_MEMORY = 'stack_memory';
/** `() -> ()`, called when the fuel has fallen below zero: refill it, or unwind the process. Blocking. */
export const SAFEPOINT = 'safepoint';
/** `(i32 pages) -> i32`, takes the place of every `memory.grow`: the old size in pages, or -1. Immediate. */
export const MEMORY_GROW = 'memory_grow';
/** The exported mutable i32 global that counts down as the guest runs. */
export const FUEL = 'drvs.fuel';
