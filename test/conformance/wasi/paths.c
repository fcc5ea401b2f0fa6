// Where paths lead, and where they may not: dots, slashes, absolute paths, symbolic links, links, renaming.
#include "check.h"

static void dots_and_slashes(__wasi_fd_t dir) {
  __wasi_fd_t fd;
  OK(__wasi_path_create_directory(dir, "a"));
  OK(__wasi_path_create_directory(dir, "a/b"));
  ERRNO_IS(__wasi_path_create_directory(dir, "a/b"), __WASI_ERRNO_EXIST);
  ERRNO_IS(__wasi_path_create_directory(dir, "none/b"), __WASI_ERRNO_NOENT);
  touch(dir, "a/b/file");
  ERRNO_IS(open_at(dir, "/a/b/file", 0, 0, 0, &fd), __WASI_ERRNO_PERM, __WASI_ERRNO_NOTCAPABLE);
  OK(open_at(dir, "a/.//b/../../a/b/../b///./file", 0, 0, 0, &fd));
  OK(__wasi_fd_close(fd));
  ERRNO_IS(open_at(dir, "a/b/file/", 0, 0, 0, &fd), __WASI_ERRNO_NOTDIR, __WASI_ERRNO_NOENT);
  ERRNO_IS(open_at(dir, "a/b/file///", 0, 0, 0, &fd), __WASI_ERRNO_NOTDIR, __WASI_ERRNO_NOENT);
  ERRNO_IS(open_at(dir, "a/b/file/x", 0, 0, 0, &fd), __WASI_ERRNO_NOTDIR);
  OK(open_at(dir, "a/b/", 0, 0, 0, &fd));
  OK(__wasi_fd_close(fd));
  OK(open_at(dir, "a/b///", 0, 0, 0, &fd));
  OK(__wasi_fd_close(fd));
  ERRNO_IS(open_at(dir, "a/b/../../../a", 0, 0, 0, &fd), __WASI_ERRNO_PERM, __WASI_ERRNO_NOTCAPABLE);
  ERRNO_IS(open_at(dir, "..", 0, 0, 0, &fd), __WASI_ERRNO_PERM, __WASI_ERRNO_NOTCAPABLE);
  ERRNO_IS(open_at(dir, "", 0, 0, 0, &fd), __WASI_ERRNO_NOENT);
  OK(open_at(dir, ".", __WASI_OFLAGS_DIRECTORY, 0, 0, &fd));
  OK(__wasi_fd_close(fd));
  ERRNO_IS(open_at(dir, "a/b/file", __WASI_OFLAGS_DIRECTORY, 0, 0, &fd), __WASI_ERRNO_NOTDIR);
  ERRNO_IS(open_at(dir, "a", __WASI_OFLAGS_CREAT | __WASI_OFLAGS_EXCL, 0, 0, &fd), __WASI_ERRNO_EXIST);
  ERRNO_IS(open_at(dir, "missing", 0, 0, 0, &fd), __WASI_ERRNO_NOENT);
  ERRNO_IS(__wasi_path_unlink_file(dir, "a/b/file/"), __WASI_ERRNO_NOTDIR, __WASI_ERRNO_NOENT);
  ERRNO_IS(__wasi_path_remove_directory(dir, "a/b"), __WASI_ERRNO_NOTEMPTY);
  ERRNO_IS(__wasi_path_unlink_file(dir, "a/b"), __WASI_ERRNO_ISDIR, __WASI_ERRNO_PERM);
  ERRNO_IS(__wasi_path_unlink_file(dir, "a/b/"), __WASI_ERRNO_ISDIR, __WASI_ERRNO_PERM);
  ERRNO_IS(__wasi_path_remove_directory(dir, "a/b/file"), __WASI_ERRNO_NOTDIR);
  OK(__wasi_path_unlink_file(dir, "a/b/file"));
  OK(__wasi_path_remove_directory(dir, "a/b/"));
  OK(__wasi_path_remove_directory(dir, "a"));
  ERRNO_IS(__wasi_path_remove_directory(dir, "a"), __WASI_ERRNO_NOENT);
}

static void file_descriptors_that_are_no_directory(__wasi_fd_t dir) {
  __wasi_fd_t file, fd;
  OK(open_at(dir, "file", __WASI_OFLAGS_CREAT, FILE_RIGHTS, 0, &file));
  ERRNO_IS(open_at(file, "x", __WASI_OFLAGS_CREAT, FILE_RIGHTS, 0, &fd), __WASI_ERRNO_NOTDIR, __WASI_ERRNO_NOTCAPABLE);
  ERRNO_IS(open_at(99, "x", 0, 0, 0, &fd), __WASI_ERRNO_BADF);
  OK(__wasi_fd_close(file));
  ERRNO_IS(__wasi_fd_close(file), __WASI_ERRNO_BADF);
  OK(__wasi_path_unlink_file(dir, "file"));
}

static void renaming(__wasi_fd_t dir) {
  __wasi_fd_t fd;
  OK(__wasi_path_create_directory(dir, "from"));
  OK(__wasi_path_rename(dir, "from", dir, "to"));
  ERRNO_IS(open_at(dir, "from", __WASI_OFLAGS_DIRECTORY, 0, 0, &fd), __WASI_ERRNO_NOENT);
  OK(open_at(dir, "to", __WASI_OFLAGS_DIRECTORY, 0, 0, &fd));
  OK(__wasi_fd_close(fd));
  OK(__wasi_path_create_directory(dir, "from"));
  OK(__wasi_path_rename(dir, "from", dir, "to"));
  ERRNO_IS(__wasi_path_rename(dir, "from", dir, "to"), __WASI_ERRNO_NOENT);
  OK(__wasi_path_create_directory(dir, "from"));
  touch(dir, "to/file");
  ERRNO_IS(__wasi_path_rename(dir, "from", dir, "to"), __WASI_ERRNO_NOTEMPTY);
  ERRNO_IS(__wasi_path_rename(dir, "from", dir, "to/file"), __WASI_ERRNO_NOTDIR);
  ERRNO_IS(__wasi_path_rename(dir, "from", dir, "from/under"), __WASI_ERRNO_INVAL);
  OK(__wasi_path_unlink_file(dir, "to/file"));
  OK(__wasi_path_remove_directory(dir, "to"));
  // A directory may be named with slashes behind it, a file may not.
  OK(__wasi_path_rename(dir, "from/", dir, "to/"));
  OK(__wasi_path_remove_directory(dir, "to"));
  touch(dir, "from");
  ERRNO_IS(__wasi_path_rename(dir, "from/", dir, "to"), __WASI_ERRNO_NOTDIR);
  ERRNO_IS(__wasi_path_rename(dir, "from", dir, "to/"), __WASI_ERRNO_NOTDIR);
  touch(dir, "to");
  OK(__wasi_path_rename(dir, "from", dir, "to"));
  ERRNO_IS(open_at(dir, "from", 0, 0, 0, &fd), __WASI_ERRNO_NOENT);
  OK(__wasi_path_rename(dir, "to", dir, "to"));
  OK(__wasi_path_create_directory(dir, "from"));
  ERRNO_IS(__wasi_path_rename(dir, "to", dir, "from"), __WASI_ERRNO_ISDIR);
  OK(__wasi_path_remove_directory(dir, "from"));
  OK(__wasi_path_unlink_file(dir, "to"));
  // One that is open goes on under its new name.
  OK(open_at(dir, "open", __WASI_OFLAGS_CREAT, FILE_RIGHTS, 0, &fd));
  OK(put(fd, "one", 3));
  OK(__wasi_path_rename(dir, "open", dir, "moved"));
  OK(put(fd, "two", 3));
  CHECK(stat_of(dir, 0, "moved").size == 6);
  OK(__wasi_path_unlink_file(dir, "moved"));
  OK(put(fd, "three", 5));
  CHECK(filestat(fd).size == 11);
  CHECK(filestat(fd).nlink == 0);
  OK(__wasi_fd_close(fd));
}

static void hard_links(__wasi_fd_t dir) {
  __wasi_fd_t file, link, sub;
  OK(open_at(dir, "file", __WASI_OFLAGS_CREAT, FILE_RIGHTS, 0, &file));
  OK(__wasi_path_link(dir, 0, "file", dir, "link"));
  OK(open_at(dir, "link", 0, FILE_RIGHTS, 0, &link));
  __wasi_filestat_t one = filestat(file), other = filestat(link);
  CHECK(memcmp(&one, &other, sizeof one) == 0);
  CHECK(one.nlink == 2);
  CHECK(fdstat(file).fs_rights_base == fdstat(link).fs_rights_base);
  OK(__wasi_fd_close(link));
  OK(__wasi_path_unlink_file(dir, "link"));
  CHECK(filestat(file).nlink == 1);
  OK(__wasi_path_create_directory(dir, "sub"));
  OK(__wasi_path_open(dir, 0, "sub", __WASI_OFLAGS_DIRECTORY, fdstat(dir).fs_rights_base, fdstat(dir).fs_rights_inheriting, 0, &sub));
  OK(__wasi_path_link(dir, 0, "file", sub, "link"));
  OK(__wasi_path_unlink_file(sub, "link"));
  ERRNO_IS(__wasi_path_link(dir, 0, "file", dir, "sub"), __WASI_ERRNO_EXIST);
  ERRNO_IS(__wasi_path_link(dir, 0, "sub", dir, "link"), __WASI_ERRNO_PERM, __WASI_ERRNO_ACCES);
  OK(__wasi_fd_close(sub));
  OK(__wasi_path_remove_directory(dir, "sub"));
  ERRNO_IS(__wasi_path_link(dir, 0, "file", dir, "file"), __WASI_ERRNO_EXIST);
  ERRNO_IS(__wasi_path_link(dir, 0, "file", dir, "link/"), __WASI_ERRNO_NOENT);
  ERRNO_IS(__wasi_path_link(dir, 0, "none", dir, "link"), __WASI_ERRNO_NOENT);
  OK(__wasi_path_symlink("target", dir, "symlink"));
  OK(__wasi_path_link(dir, 0, "symlink", dir, "link"));
  CHECK(stat_of(dir, 0, "link").filetype == __WASI_FILETYPE_SYMBOLIC_LINK);
  OK(__wasi_path_unlink_file(dir, "link"));
  ERRNO_IS(__wasi_path_link(dir, 0, "file", dir, "symlink"), __WASI_ERRNO_EXIST);
  ERRNO_IS(__wasi_path_link(dir, __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW, "symlink", dir, "link"), __WASI_ERRNO_INVAL, __WASI_ERRNO_NOENT);
  OK(__wasi_path_unlink_file(dir, "symlink"));
  OK(__wasi_path_symlink("symlink", dir, "symlink"));
  OK(__wasi_path_link(dir, 0, "symlink", dir, "link"));
  OK(__wasi_path_unlink_file(dir, "symlink"));
  OK(__wasi_path_unlink_file(dir, "link"));
  OK(__wasi_fd_close(file));
  OK(__wasi_path_unlink_file(dir, "file"));
}

static void symbolic_links(__wasi_fd_t dir) {
  __wasi_fd_t fd;
  char text[16];
  __wasi_size_t length;
  OK(__wasi_path_create_directory(dir, "target"));
  OK(__wasi_path_symlink("target", dir, "symlink"));
  ERRNO_IS(open_at(dir, "symlink", __WASI_OFLAGS_DIRECTORY, 0, 0, &fd), __WASI_ERRNO_LOOP, __WASI_ERRNO_NOTDIR);
  ERRNO_IS(open_at(dir, "symlink", 0, 0, 0, &fd), __WASI_ERRNO_LOOP);
  OK(__wasi_path_open(dir, 1, "symlink", __WASI_OFLAGS_DIRECTORY, 0, 0, 0, &fd));
  OK(__wasi_fd_close(fd));
  // In the middle of a path they are always followed.
  touch(dir, "symlink/file");
  OK(__wasi_path_unlink_file(dir, "target/file"));
  OK(__wasi_path_unlink_file(dir, "symlink"));
  OK(__wasi_path_remove_directory(dir, "target"));
  touch(dir, "target");
  OK(__wasi_path_symlink("target", dir, "symlink"));
  ERRNO_IS(__wasi_path_open(dir, 1, "symlink", __WASI_OFLAGS_DIRECTORY, 0, 0, 0, &fd), __WASI_ERRNO_NOTDIR);
  ERRNO_IS(__wasi_path_symlink("x", dir, "symlink"), __WASI_ERRNO_EXIST);
  ERRNO_IS(__wasi_path_symlink("x", dir, "target/"), __WASI_ERRNO_NOTDIR, __WASI_ERRNO_EXIST);
  ERRNO_IS(__wasi_path_symlink("x", dir, "new/"), __WASI_ERRNO_NOTDIR, __WASI_ERRNO_NOENT);
  ERRNO_IS(__wasi_path_symlink("/etc", dir, "absolute"), __WASI_ERRNO_PERM, __WASI_ERRNO_NOTCAPABLE, 0);
  (void)__wasi_path_unlink_file(dir, "absolute");
  OK(__wasi_path_readlink(dir, "symlink", (uint8_t *)text, sizeof text, &length));
  CHECK(length == 6 && memcmp(text, "target", 6) == 0);
  // A buffer that is too small takes what fits.
  OK(__wasi_path_readlink(dir, "symlink", (uint8_t *)text, 4, &length));
  CHECK(length == 4);
  ERRNO_IS(__wasi_path_readlink(dir, "target", (uint8_t *)text, sizeof text, &length), __WASI_ERRNO_INVAL);
  __wasi_filestat_t link = stat_of(dir, 0, "symlink"), file = stat_of(dir, 0, "target");
  CHECK(link.filetype == __WASI_FILETYPE_SYMBOLIC_LINK);
  CHECK(link.size == 6);
  CHECK(stat_of(dir, 1, "symlink").ino == file.ino);
  OK(__wasi_path_filestat_set_times(dir, 0, "symlink", 0, link.mtim - 200, __WASI_FSTFLAGS_MTIM));
  CHECK(stat_of(dir, 0, "symlink").mtim == link.mtim - 200);
  CHECK(stat_of(dir, 0, "target").mtim == file.mtim);
  OK(__wasi_path_filestat_set_times(dir, 1, "symlink", 0, link.mtim - 77, __WASI_FSTFLAGS_MTIM));
  CHECK(stat_of(dir, 0, "target").mtim == link.mtim - 77);
  OK(__wasi_path_unlink_file(dir, "symlink"));
  OK(__wasi_path_unlink_file(dir, "target"));
  OK(__wasi_path_symlink("nowhere", dir, "dangling"));
  ERRNO_IS(open_at(dir, "dangling", 0, 0, 0, &fd), __WASI_ERRNO_LOOP);
  ERRNO_IS(__wasi_path_open(dir, 1, "dangling", 0, 0, 0, 0, &fd), __WASI_ERRNO_NOENT);
  ERRNO_IS(open_at(dir, "dangling", __WASI_OFLAGS_DIRECTORY, 0, 0, &fd), __WASI_ERRNO_LOOP, __WASI_ERRNO_NOTDIR);
  OK(__wasi_path_unlink_file(dir, "dangling"));
  OK(__wasi_path_symlink("loop2", dir, "loop1"));
  OK(__wasi_path_symlink("loop1", dir, "loop2"));
  ERRNO_IS(__wasi_path_open(dir, 1, "loop1", 0, 0, 0, 0, &fd), __WASI_ERRNO_LOOP);
  ERRNO_IS(open_at(dir, "loop1/x", 0, 0, 0, &fd), __WASI_ERRNO_LOOP);
  OK(__wasi_path_unlink_file(dir, "loop1"));
  OK(__wasi_path_unlink_file(dir, "loop2"));
  OK(__wasi_path_symlink("../..", dir, "out"));
  ERRNO_IS(open_at(dir, "out/x", 0, 0, 0, &fd), __WASI_ERRNO_PERM, __WASI_ERRNO_NOTCAPABLE);
  OK(__wasi_path_unlink_file(dir, "out"));
}

/** @param argv how often, in argv[1]; once without it */
int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 1;
  __wasi_fd_t dir = scratch("paths");
  for (int round = 0; round < rounds; round++) {
    dots_and_slashes(dir);
    file_descriptors_that_are_no_directory(dir);
    renaming(dir);
    hard_links(dir);
    symbolic_links(dir);
  }
  return verdict(dir, "paths");
}
