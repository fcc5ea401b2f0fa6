// where [SECONDS]: prints the node that it is on, once and then whenever that changes, for SECONDS (default: once).
import { monotonicMs, numberArgument, print, sleepMs } from "./lib/wasi";
import { getpid, node_count, node_index, nodeName } from "./lib/dvos";

export function _start(): void {
  const seconds = numberArgument(1, 0);
  const end = monotonicMs() + seconds * 1000;
  let last = -1;
  for (;;) {
    const index = node_index();
    if (index != last) {
      print("process " + getpid().toString() + " is on " + nodeName() + " (node " + (index + 1).toString() + " of " + node_count().toString() + ")");
      last = index;
    }
    if (monotonicMs() >= end) return;
    sleepMs(100);
  }
}
