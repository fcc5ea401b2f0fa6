// What descriptors allow and how they are read, written, moved, renumbered and asked.
#include "check.h"

static void directories_are_no_files(void) {
  __wasi_fd_t fd;
  char bytes[16];
  __wasi_iovec_t in = {(uint8_t *)bytes, sizeof bytes};
  __wasi_ciovec_t out = {(const uint8_t *)bytes, sizeof bytes};
  __wasi_size_t count;
  __wasi_filesize_t offset;
  __wasi_fdstat_t root = fdstat(3);
  OK(__wasi_path_open(3, 0, ".", __WASI_OFLAGS_DIRECTORY, root.fs_rights_base, root.fs_rights_inheriting, 0, &fd));
  CHECK(filestat(fd).filetype == __WASI_FILETYPE_DIRECTORY);
#define NO_FILE __WASI_ERRNO_ISDIR, __WASI_ERRNO_BADF, __WASI_ERRNO_NOTCAPABLE
  ERRNO_IS(__wasi_fd_read(fd, &in, 1, &count), NO_FILE);
  ERRNO_IS(__wasi_fd_pread(fd, &in, 1, 0, &count), NO_FILE);
  ERRNO_IS(__wasi_fd_write(fd, &out, 1, &count), NO_FILE);
  ERRNO_IS(__wasi_fd_pwrite(fd, &out, 1, 0, &count), NO_FILE);
  ERRNO_IS(__wasi_fd_seek(fd, 0, __WASI_WHENCE_CUR, &offset), NO_FILE);
  ERRNO_IS(__wasi_fd_seek(fd, 0, __WASI_WHENCE_SET, &offset), NO_FILE);
  ERRNO_IS(__wasi_fd_seek(fd, 0, __WASI_WHENCE_END, &offset), NO_FILE);
  ERRNO_IS(__wasi_fd_tell(fd, &offset), NO_FILE);
  ERRNO_IS(__wasi_fd_allocate(fd, 0, 1), NO_FILE);
  ERRNO_IS(__wasi_fd_filestat_set_size(fd, 0), NO_FILE, __WASI_ERRNO_INVAL);
  OK(__wasi_fd_close(fd));
  OK(open_at(3, ".", __WASI_OFLAGS_DIRECTORY, __WASI_RIGHTS_FD_SEEK, 0, &fd));
  CHECK((fdstat(fd).fs_rights_base & __WASI_RIGHTS_FD_SEEK) == 0);
  OK(__wasi_fd_close(fd));
}

static void preopens(void) {
  __wasi_prestat_t prestat;
  char name[64] = "";
  OK(__wasi_fd_prestat_get(3, &prestat));
  CHECK(prestat.tag == __WASI_PREOPENTYPE_DIR);
  ERRNO_IS(__wasi_fd_prestat_dir_name(3, (uint8_t *)name, 0), __WASI_ERRNO_INVAL, __WASI_ERRNO_NAMETOOLONG);
  OK(__wasi_fd_prestat_dir_name(3, (uint8_t *)name, prestat.u.dir.pr_name_len));
  OK(__wasi_fd_prestat_dir_name(3, (uint8_t *)name, sizeof name));
  CHECK(strncmp(name, "/", 1) == 0);
  ERRNO_IS(__wasi_fd_prestat_get(4, &prestat), __WASI_ERRNO_BADF);
  ERRNO_IS(__wasi_fd_prestat_get(0, &prestat), __WASI_ERRNO_BADF, __WASI_ERRNO_NOTSUP);
}

static void rights_only_shrink(__wasi_fd_t dir) {
  __wasi_fd_t fd;
  char bytes[4] = {0};
  size_t got;
  OK(open_at(dir, "file", __WASI_OFLAGS_CREAT, FILE_RIGHTS, 0, &fd));
  OK(put(fd, "abcd", 4));
  __wasi_fdstat_t before = fdstat(fd);
  OK(__wasi_fd_fdstat_set_rights(fd, before.fs_rights_base, before.fs_rights_inheriting));
  uint64_t dropped = __WASI_RIGHTS_FD_READ | __WASI_RIGHTS_FD_WRITE;
  OK(__wasi_fd_fdstat_set_rights(fd, before.fs_rights_base & ~dropped, before.fs_rights_inheriting));
  CHECK((fdstat(fd).fs_rights_base & dropped) == 0);
  CHECK((fdstat(fd).fs_rights_base & __WASI_RIGHTS_FD_SEEK) != 0);
  ERRNO_IS(get(fd, bytes, 4, &got), __WASI_ERRNO_BADF, __WASI_ERRNO_NOTCAPABLE);
  ERRNO_IS(put(fd, "x", 1), __WASI_ERRNO_BADF, __WASI_ERRNO_NOTCAPABLE);
  ERRNO_IS(__wasi_fd_fdstat_set_rights(fd, before.fs_rights_base, before.fs_rights_inheriting), __WASI_ERRNO_NOTCAPABLE);
  OK(__wasi_fd_close(fd));
  // Opened for reading only.
  OK(open_at(dir, "file", 0, __WASI_RIGHTS_FD_READ, 0, &fd));
  OK(get(fd, bytes, 4, &got));
  CHECK(got == 4);
  ERRNO_IS(put(fd, "x", 1), __WASI_ERRNO_BADF, __WASI_ERRNO_NOTCAPABLE);
  OK(__wasi_fd_close(fd));
  // Truncating asks the directory's right, not the file's.
  OK(open_at(dir, "file", __WASI_OFLAGS_TRUNC, 0, 0, &fd));
  OK(__wasi_fd_close(fd));
  CHECK(stat_of(dir, 0, "file").size == 0);
  __wasi_fd_t less;
  __wasi_fdstat_t all = fdstat(dir);
  CHECK((all.fs_rights_base & __WASI_RIGHTS_FD_FILESTAT_SET_SIZE) == 0);
  OK(__wasi_path_open(dir, 0, ".", __WASI_OFLAGS_DIRECTORY, all.fs_rights_base, all.fs_rights_inheriting, 0, &less));
  OK(__wasi_fd_fdstat_set_rights(less, all.fs_rights_base, all.fs_rights_inheriting & ~__WASI_RIGHTS_FD_FILESTAT_SET_SIZE));
  OK(open_at(less, "file", __WASI_OFLAGS_TRUNC, 0, 0, &fd));
  OK(__wasi_fd_close(fd));
  OK(__wasi_fd_fdstat_set_rights(less, all.fs_rights_base & ~__WASI_RIGHTS_PATH_FILESTAT_SET_SIZE, 0));
  ERRNO_IS(open_at(less, "file", __WASI_OFLAGS_TRUNC, 0, 0, &fd), __WASI_ERRNO_PERM, __WASI_ERRNO_NOTCAPABLE);
  OK(__wasi_fd_close(less));
  OK(__wasi_path_unlink_file(dir, "file"));
}

static void reading_and_writing(__wasi_fd_t dir) {
  __wasi_fd_t fd;
  char bytes[100];
  __wasi_filesize_t offset;
  __wasi_size_t count;
  size_t got;
  OK(open_at(dir, "file", __WASI_OFLAGS_CREAT, FILE_RIGHTS, __WASI_FDFLAGS_APPEND | __WASI_FDFLAGS_SYNC, &fd));
  CHECK(fdstat(fd).fs_flags == (__WASI_FDFLAGS_APPEND | __WASI_FDFLAGS_SYNC));
  OK(put(fd, "first", 5));
  OK(__wasi_fd_seek(fd, 0, __WASI_WHENCE_SET, &offset));
  OK(put(fd, "second", 6));
  CHECK(filestat(fd).size == 11);
  OK(__wasi_fd_fdstat_set_flags(fd, 0));
  CHECK(fdstat(fd).fs_flags == 0);
  OK(__wasi_fd_seek(fd, 0, __WASI_WHENCE_SET, &offset));
  OK(put(fd, "FIRST", 5));
  OK(__wasi_fd_tell(fd, &offset));
  CHECK(offset == 5);
  OK(__wasi_fd_seek(fd, -6, __WASI_WHENCE_END, &offset));
  CHECK(offset == 5);
  OK(get(fd, bytes, sizeof bytes, &got));
  CHECK(got == 6 && memcmp(bytes, "second", 6) == 0);
  ERRNO_IS(__wasi_fd_seek(fd, -1, __WASI_WHENCE_SET, &offset), __WASI_ERRNO_INVAL);
  ERRNO_IS(__wasi_fd_seek(fd, INT64_MIN, __WASI_WHENCE_CUR, &offset), __WASI_ERRNO_INVAL);
  ERRNO_IS(__wasi_fd_seek(fd, 0, 9, &offset), __WASI_ERRNO_INVAL);
  OK(__wasi_fd_tell(fd, &offset));
  CHECK(offset == 11);
  // pread and pwrite leave the offset alone, and scatter over several vectors.
  __wasi_iovec_t in[3] = {{(uint8_t *)bytes, 2}, {(uint8_t *)bytes + 50, 0}, {(uint8_t *)bytes + 10, 3}};
  OK(__wasi_fd_pread(fd, in, 3, 1, &count));
  CHECK(count == 5 && memcmp(bytes, "IR", 2) == 0 && memcmp(bytes + 10, "STs", 3) == 0);
  __wasi_ciovec_t out[2] = {{(const uint8_t *)"a", 1}, {(const uint8_t *)"bc", 2}};
  OK(__wasi_fd_pwrite(fd, out, 2, 20, &count));
  CHECK(count == 3);
  OK(__wasi_fd_tell(fd, &offset));
  CHECK(offset == 11);
  CHECK(filestat(fd).size == 23);
  OK(__wasi_fd_pread(fd, in, 1, 100, &count));
  CHECK(count == 0);
  OK(__wasi_fd_pread(fd, in, 1, 12, &count));
  CHECK(count == 2 && bytes[0] == 0 && bytes[1] == 0);
  OK(__wasi_fd_filestat_set_size(fd, 4));
  CHECK(filestat(fd).size == 4);
  OK(__wasi_fd_filestat_set_size(fd, 8));
  OK(__wasi_fd_pread(fd, in, 1, 3, &count));
  CHECK(bytes[0] == 'S' && bytes[1] == 0);
  ERRNO_IS(__wasi_fd_filestat_set_size(fd, UINT64_MAX), __WASI_ERRNO_INVAL, __WASI_ERRNO_FBIG);
  OK(__wasi_fd_allocate(fd, 0, 100));
  CHECK(filestat(fd).size == 100);
  OK(__wasi_fd_allocate(fd, 10, 10));
  CHECK(filestat(fd).size == 100);
  OK(__wasi_fd_advise(fd, 0, 10, __WASI_ADVICE_SEQUENTIAL));
  ERRNO_IS(__wasi_fd_advise(fd, 0, 10, 77), __WASI_ERRNO_INVAL);
  OK(__wasi_fd_sync(fd));
  OK(__wasi_fd_datasync(fd));
  OK(__wasi_fd_close(fd));
  OK(__wasi_path_unlink_file(dir, "file"));
}

static void renumbering(__wasi_fd_t dir) {
  __wasi_fd_t one, other;
  OK(open_at(dir, "one", __WASI_OFLAGS_CREAT, FILE_RIGHTS, 0, &one));
  OK(open_at(dir, "other", __WASI_OFLAGS_CREAT, __WASI_RIGHTS_FD_READ, 0, &other));
  OK(put(one, "1", 1));
  __wasi_fdstat_t before = fdstat(one);
  OK(__wasi_fd_renumber(one, other));
  ERRNO_IS(__wasi_fd_close(one), __WASI_ERRNO_BADF);
  __wasi_fdstat_t after = fdstat(other);
  CHECK(before.fs_rights_base == after.fs_rights_base && before.fs_flags == after.fs_flags);
  CHECK(filestat(other).size == 1);
  ERRNO_IS(__wasi_fd_renumber(other, one), __WASI_ERRNO_BADF);
  ERRNO_IS(__wasi_fd_renumber(one, other), __WASI_ERRNO_BADF);
  OK(__wasi_fd_renumber(other, other));
  OK(__wasi_fd_close(other));
  OK(__wasi_path_unlink_file(dir, "one"));
  OK(__wasi_path_unlink_file(dir, "other"));
}

static void times(__wasi_fd_t dir) {
  __wasi_fd_t fd;
  OK(open_at(dir, "file", __WASI_OFLAGS_CREAT, FILE_RIGHTS, 0, &fd));
  __wasi_filestat_t was = filestat(fd);
  OK(__wasi_fd_filestat_set_times(fd, was.atim - 3, was.mtim - 100, __WASI_FSTFLAGS_ATIM | __WASI_FSTFLAGS_MTIM));
  CHECK(filestat(fd).mtim == was.mtim - 100 && filestat(fd).atim == was.atim - 3);
  ERRNO_IS(__wasi_fd_filestat_set_times(fd, 0, 1, __WASI_FSTFLAGS_MTIM | __WASI_FSTFLAGS_MTIM_NOW), __WASI_ERRNO_INVAL);
  ERRNO_IS(__wasi_fd_filestat_set_times(fd, 1, 0, __WASI_FSTFLAGS_ATIM | __WASI_FSTFLAGS_ATIM_NOW), __WASI_ERRNO_INVAL);
  ERRNO_IS(__wasi_path_filestat_set_times(dir, 0, "file", 0, 1, __WASI_FSTFLAGS_MTIM | __WASI_FSTFLAGS_MTIM_NOW), __WASI_ERRNO_INVAL);
  CHECK(filestat(fd).mtim == was.mtim - 100);
  OK(__wasi_path_filestat_set_times(dir, 0, "file", 7, 9, __WASI_FSTFLAGS_ATIM | __WASI_FSTFLAGS_MTIM));
  CHECK(filestat(fd).mtim == 9 && filestat(fd).atim == 7);
  OK(__wasi_fd_filestat_set_times(fd, 0, 0, __WASI_FSTFLAGS_MTIM_NOW));
  CHECK(filestat(fd).mtim >= was.mtim && filestat(fd).atim == 7);
  OK(__wasi_fd_close(fd));
  OK(__wasi_path_unlink_file(dir, "file"));
}

/** Reads a whole directory with a buffer of `size` bytes. @returns the number of entries, -1 when a name comes twice. */
static int listed(__wasi_fd_t dir, size_t size, bool seen[], int most) {
  uint8_t *buffer = malloc(size);
  __wasi_dircookie_t cookie = 0;
  int entries = 0;
  for (;;) {
    __wasi_size_t used = 0;
    OK(__wasi_fd_readdir(dir, buffer, size, cookie, &used));
    size_t at = 0;
    while (at + sizeof(__wasi_dirent_t) <= used) {
      __wasi_dirent_t entry;
      memcpy(&entry, buffer + at, sizeof entry);
      if (at + sizeof entry + entry.d_namlen > used) break;
      char name[64] = "";
      memcpy(name, buffer + at + sizeof entry, entry.d_namlen < 63 ? entry.d_namlen : 63);
      int number;
      if (sscanf(name, "entry-%d", &number) == 1 && number < most) {
        if (seen[number]) return -1;
        seen[number] = true;
        CHECK(entry.d_type == __WASI_FILETYPE_REGULAR_FILE);
      }
      entries++;
      cookie = entry.d_next;
      at += sizeof entry + entry.d_namlen;
    }
    if (used < size) break;
  }
  free(buffer);
  return entries;
}

static void listing(__wasi_fd_t dir) {
  enum { MANY = 300 };
  bool seen[MANY] = {false};
  char name[32];
  CHECK(listed(dir, 256, seen, MANY) == 2);
  for (int i = 0; i < MANY; i++) {
    snprintf(name, sizeof name, "entry-%d", i);
    touch(dir, name);
  }
  CHECK(listed(dir, 256, seen, MANY) == MANY + 2);
  for (int i = 0; i < MANY; i++) CHECK(seen[i]);
  for (int i = 0; i < MANY; i++) {
    snprintf(name, sizeof name, "entry-%d", i);
    OK(__wasi_path_unlink_file(dir, name));
  }
}

static void standard_streams(void) {
  for (__wasi_fd_t fd = 1; fd <= 2; fd++) CHECK(fdstat(fd).fs_rights_base & __WASI_RIGHTS_FD_WRITE);
  __wasi_subscription_t subscriptions[3] = {
    {.userdata = 1, .u = {.tag = __WASI_EVENTTYPE_FD_WRITE, .u.fd_write.file_descriptor = 1}},
    {.userdata = 2, .u = {.tag = __WASI_EVENTTYPE_FD_WRITE, .u.fd_write.file_descriptor = 2}},
    {.userdata = 3, .u = {.tag = __WASI_EVENTTYPE_CLOCK, .u.clock = {.id = __WASI_CLOCKID_MONOTONIC, .timeout = 200000000}}},
  };
  __wasi_event_t events[3];
  __wasi_size_t count = 0;
  OK(__wasi_poll_oneoff(subscriptions, events, 3, &count));
  CHECK(count == 2);
  for (unsigned i = 0; i < count; i++) CHECK(events[i].type == __WASI_EVENTTYPE_FD_WRITE && events[i].error == 0);
  ERRNO_IS(__wasi_poll_oneoff(subscriptions, events, 0, &count), __WASI_ERRNO_INVAL);
  subscriptions[0].u.u.fd_write.file_descriptor = 77;
  OK(__wasi_poll_oneoff(subscriptions, events, 1, &count));
  CHECK(count == 1 && events[0].error == __WASI_ERRNO_BADF && events[0].userdata == 1);
  OK(__wasi_poll_oneoff(subscriptions + 2, events, 1, &count));
  CHECK(count == 1 && events[0].userdata == 3 && events[0].type == __WASI_EVENTTYPE_CLOCK);
}

static void the_rest(__wasi_fd_t dir) {
  static uint8_t bytes[65536 * 2];
  __wasi_timestamp_t time, later;
  OK(__wasi_random_get(bytes, sizeof bytes));
  int zeros = 0;
  for (size_t i = 0; i < sizeof bytes; i++) zeros += bytes[i] == 0;
  CHECK(zeros < 2000);
  OK(__wasi_clock_res_get(__WASI_CLOCKID_REALTIME, &time));
  CHECK(time > 0);
  OK(__wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &time));
  OK(__wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 0, &later));
  CHECK(later >= time);
  ERRNO_IS(__wasi_clock_time_get(99, 0, &time), __WASI_ERRNO_INVAL);
  ERRNO_IS(__wasi_clock_res_get(99, &time), __WASI_ERRNO_INVAL);
  OK(__wasi_sched_yield());
  ERRNO_IS(__wasi_sock_shutdown(99, __WASI_SDFLAGS_RD), __WASI_ERRNO_BADF);
  __wasi_fd_t fd;
  OK(open_at(dir, "file", __WASI_OFLAGS_CREAT, FILE_RIGHTS, 0, &fd));
  ERRNO_IS(__wasi_sock_shutdown(fd, __WASI_SDFLAGS_RD), __WASI_ERRNO_NOTSOCK, __WASI_ERRNO_NOTCAPABLE);
  OK(__wasi_fd_close(fd));
  OK(__wasi_path_unlink_file(dir, "file"));
}

/** @param argv how often, in argv[1]; once without it */
int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 1;
  __wasi_fd_t dir = scratch("descriptors");
  for (int round = 0; round < rounds; round++) {
    directories_are_no_files();
    preopens();
    rights_only_shrink(dir);
    reading_and_writing(dir);
    renumbering(dir);
    times(dir);
    listing(dir);
    standard_streams();
    the_rest(dir);
  }
  return verdict(dir, "descriptors");
}
