// hello [NAME...]: greets, and says who it is and where.
import { args, print } from "./lib/wasi";
import { getpid, nodeName } from "./lib/dvos";

export function _start(): void {
  const names = args().slice(1);
  print("Hello, " + (names.length > 0 ? names.join(" ") : "world") + "! This is process " + getpid().toString() + " on " + nodeName() + ".");
}
