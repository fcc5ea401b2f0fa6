// cat [-o FILE] [FILE...]: copies the files (none, or -: standard input) to standard output or to FILE.
import { args, fail, fd_close, open, read, READ, STDIN, STDOUT, WRITE, writeBytes } from "./lib/wasi";

const BUFFER: i32 = 32768;
const buffer: usize = memory.data(BUFFER);

function copy(from: i32, name: string, to: i32): void {
  for (;;) {
    const count = read(from, buffer, BUFFER);
    if (count < 0) fail("cat: cannot read " + name + ": error " + (-count).toString());
    if (count <= 0) return;
    writeBytes(to, buffer, count);
  }
}

export function _start(): void {
  const all = args();
  let target = STDOUT;
  let copied = 0;
  for (let i = 1; i < all.length; i++) {
    const name = all[i];
    if (name == "-o") {
      if (++i >= all.length) fail("cat: -o needs a file's name after it");
      target = open(all[i], WRITE);
      if (target < 0) fail("cat: cannot write " + all[i] + ": error " + (-target).toString());
    } else if (name == "-") {
      copy(STDIN, "standard input", target);
      copied++;
    } else {
      const fd = open(name, READ);
      if (fd < 0) fail("cat: cannot open " + name + ": error " + (-fd).toString());
      copy(fd, name, target);
      fd_close(fd);
      copied++;
    }
  }
  if (copied == 0) copy(STDIN, "standard input", target);
  if (target != STDOUT) fd_close(target);
}
