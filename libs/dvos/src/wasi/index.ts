import { randomFillSync } from 'node:crypto';
import type { SystemCall } from '../kernel/caller.js';
import * as clocks from './clocks.js';
import * as descriptors from './descriptors.js';
import * as environment from './environment.js';
import * as paths from './paths.js';
import * as process from './process.js';
import * as unstable from './unstable.js';

/** All of wasi_snapshot_preview1. `random` fills the bytes given to it, at most 64 KiB at a time. */
export function createWasiCalls(random: (target: Uint8Array) => void): Record<string, SystemCall> {
  return {
    args_get: environment.args_get,
    args_sizes_get: environment.args_sizes_get,
    environ_get: environment.environ_get,
    environ_sizes_get: environment.environ_sizes_get,
    clock_res_get: clocks.clock_res_get,
    clock_time_get: clocks.clock_time_get,
    fd_advise: descriptors.fd_advise,
    fd_allocate: descriptors.fd_allocate,
    fd_close: descriptors.fd_close,
    fd_datasync: descriptors.fd_datasync,
    fd_fdstat_get: descriptors.fd_fdstat_get,
    fd_fdstat_set_flags: descriptors.fd_fdstat_set_flags,
    fd_fdstat_set_rights: descriptors.fd_fdstat_set_rights,
    fd_filestat_get: descriptors.fd_filestat_get,
    fd_filestat_set_size: descriptors.fd_filestat_set_size,
    fd_filestat_set_times: descriptors.fd_filestat_set_times,
    fd_pread: descriptors.fd_pread,
    fd_prestat_dir_name: descriptors.fd_prestat_dir_name,
    fd_prestat_get: descriptors.fd_prestat_get,
    fd_pwrite: descriptors.fd_pwrite,
    fd_read: descriptors.fd_read,
    fd_readdir: descriptors.fd_readdir,
    fd_renumber: descriptors.fd_renumber,
    fd_seek: descriptors.fd_seek,
    fd_sync: descriptors.fd_sync,
    fd_tell: descriptors.fd_tell,
    fd_write: descriptors.fd_write,
    path_create_directory: paths.path_create_directory,
    path_filestat_get: paths.path_filestat_get,
    path_filestat_set_times: paths.path_filestat_set_times,
    path_link: paths.path_link,
    path_open: paths.path_open,
    path_readlink: paths.path_readlink,
    path_remove_directory: paths.path_remove_directory,
    path_rename: paths.path_rename,
    path_symlink: paths.path_symlink,
    path_unlink_file: paths.path_unlink_file,
    poll_oneoff: clocks.poll_oneoff,
    proc_exit: process.proc_exit,
    proc_raise: process.proc_raise,
    random_get: process.randomCall(random),
    sched_yield: process.sched_yield,
    sock_accept: process.sock_accept,
    sock_recv: process.sock_recv,
    sock_send: process.sock_send,
    sock_shutdown: process.sock_shutdown,
  };
}

/** What the kernel binds to imports from `wasi_snapshot_preview1`. */
export const wasiCalls: Record<string, SystemCall> = createWasiCalls((target) => {
  randomFillSync(target);
});

/** What it binds to imports from `wasi_unstable`. */
export const wasiUnstableCalls: Record<string, SystemCall> = {
  ...wasiCalls,
  fd_seek: unstable.unstable_fd_seek,
  fd_filestat_get: unstable.unstable_fd_filestat_get,
  path_filestat_get: unstable.unstable_path_filestat_get,
  poll_oneoff: clocks.unstable_poll_oneoff,
};
