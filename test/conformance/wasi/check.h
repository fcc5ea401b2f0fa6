// Checks of system calls: each failure is printed with its line; the exit code says whether there was one.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wasi/api.h>

static int failures = 0;
static int checks = 0;

#define CHECK(condition) \
  (checks++, (condition) ? (void)0 : (failures++, (void)printf("%s:%d: not so: %s\n", __FILE_NAME__, __LINE__, #condition)))

/** The call's error number is one of those named. */
#define ERRNO_IS(call, ...)                                                                      \
  do {                                                                                           \
    checks++;                                                                                    \
    int got_ = (call);                                                                           \
    const int allowed_[] = {__VA_ARGS__};                                                        \
    bool fits_ = false;                                                                          \
    for (size_t i_ = 0; i_ < sizeof allowed_ / sizeof *allowed_; i_++) fits_ |= got_ == allowed_[i_]; \
    if (!fits_) {                                                                                \
      failures++;                                                                                \
      printf("%s:%d: errno %d from %s, wanted %s\n", __FILE_NAME__, __LINE__, got_, #call, #__VA_ARGS__); \
    }                                                                                            \
  } while (0)
#define OK(call) ERRNO_IS(call, 0)

#define FILE_RIGHTS (__WASI_RIGHTS_FD_READ | __WASI_RIGHTS_FD_WRITE | __WASI_RIGHTS_FD_SEEK | __WASI_RIGHTS_FD_TELL | \
  __WASI_RIGHTS_FD_FILESTAT_GET | __WASI_RIGHTS_FD_FDSTAT_SET_FLAGS | __WASI_RIGHTS_FD_FILESTAT_SET_SIZE | \
  __WASI_RIGHTS_FD_FILESTAT_SET_TIMES | __WASI_RIGHTS_FD_ALLOCATE | __WASI_RIGHTS_FD_ADVISE | __WASI_RIGHTS_FD_SYNC | \
  __WASI_RIGHTS_FD_DATASYNC | __WASI_RIGHTS_POLL_FD_READWRITE)

static inline __wasi_errno_t open_at(__wasi_fd_t at, const char *path, int oflags, uint64_t rights, int fdflags, __wasi_fd_t *fd) {
  return __wasi_path_open(at, 0, path, oflags, rights, 0, fdflags, fd);
}

static inline void touch(__wasi_fd_t at, const char *path) {
  __wasi_fd_t fd;
  OK(open_at(at, path, __WASI_OFLAGS_CREAT, 0, 0, &fd));
  CHECK(fd > 2);
  OK(__wasi_fd_close(fd));
}

static inline __wasi_fdstat_t fdstat(__wasi_fd_t fd) {
  __wasi_fdstat_t stat;
  memset(&stat, 0, sizeof stat);
  OK(__wasi_fd_fdstat_get(fd, &stat));
  return stat;
}

static inline __wasi_filestat_t filestat(__wasi_fd_t fd) {
  __wasi_filestat_t stat;
  memset(&stat, 0, sizeof stat);
  OK(__wasi_fd_filestat_get(fd, &stat));
  return stat;
}

static inline __wasi_filestat_t stat_of(__wasi_fd_t at, int flags, const char *path) {
  __wasi_filestat_t stat;
  memset(&stat, 0, sizeof stat);
  OK(__wasi_path_filestat_get(at, flags, path, &stat));
  return stat;
}

static inline __wasi_errno_t put(__wasi_fd_t fd, const void *bytes, size_t length) {
  __wasi_ciovec_t vector = {bytes, length};
  __wasi_size_t written = 0;
  __wasi_errno_t errno_ = __wasi_fd_write(fd, &vector, 1, &written);
  if (errno_ == 0) CHECK(written == length);
  return errno_;
}

static inline __wasi_errno_t get(__wasi_fd_t fd, void *bytes, size_t length, size_t *got) {
  __wasi_iovec_t vector = {bytes, length};
  __wasi_size_t count = 0;
  __wasi_errno_t errno_ = __wasi_fd_read(fd, &vector, 1, &count);
  *got = count;
  return errno_;
}

/** A new directory under the first preopened one, opened with all that a directory can have. */
static inline __wasi_fd_t scratch(const char *name) {
  OK(__wasi_path_create_directory(3, name));
  __wasi_fdstat_t root = fdstat(3);
  __wasi_fd_t fd;
  OK(__wasi_path_open(3, 0, name, __WASI_OFLAGS_DIRECTORY, root.fs_rights_base, root.fs_rights_inheriting, 0, &fd));
  CHECK(fd > 3);
  return fd;
}

static inline int verdict(__wasi_fd_t scratch_fd, const char *name) {
  OK(__wasi_fd_close(scratch_fd));
  OK(__wasi_path_remove_directory(3, name));
  printf("%d checks, %d failed\n", checks, failures);
  return failures == 0 ? 0 : 1;
}
