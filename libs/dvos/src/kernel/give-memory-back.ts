import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

let collect: (() => void) | null = null;

/**
 * Memory of guests that have ended is the engine's until it collects its garbage, for which it sees no reason while the
 * process is small. Before a limit shrinks it must really be free. Some milliseconds, so not for every day.
 */
export function giveMemoryBack(): void {
  if (collect === null) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
    setFlagsFromString('--no-expose-gc');
  }
  collect();
}
