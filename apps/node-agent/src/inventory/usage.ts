import { readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import type { ContainerState, Heartbeat } from '@drvs/contracts';
import { networkBytes } from './interfaces.js';

const GIB = 1_073_741_824;

interface Sample {
  atMs: number;
  networkBytes: number;
  /** By DRVM. Where no control group counts, the figure begins anew with each process. */
  cpuMs: Map<string, number>;
}

/**
 * What the DRVMs of this node use, measured between two heartbeats: CPU, memory and disk of their containers.
 * The network figure is the host's (all interfaces but the loopback), as containers share the host's network.
 */
export class UsageMeter {
  #last: Sample | null = null;

  measure(nowMs: number, containers: readonly ContainerState[], diskBytes: number): Heartbeat {
    const sample: Sample = {
      atMs: nowMs,
      networkBytes: networkBytes(readFileSync('/proc/net/dev', 'utf8')),
      cpuMs: new Map(containers.map((container) => [container.drvmId, container.cpuMs])),
    };
    const last = this.#last;
    this.#last = sample;
    const elapsedMs = last ? sample.atMs - last.atMs : 0;
    let cpuMs = 0;
    // A container seen for the first time has no earlier figure to take the difference with.
    for (const [key, value] of sample.cpuMs) cpuMs += Math.max(0, value - (last?.cpuMs.get(key) ?? value));
    const bytes = last ? Math.max(0, sample.networkBytes - last.networkBytes) : 0;
    return {
      at: new Date(nowMs).toISOString(),
      used: {
        cpuMilli: elapsedMs > 0 ? Math.round((cpuMs * 1_000) / elapsedMs) : 0,
        memoryMiB: Math.round(
          containers.reduce((sum, { residentBytes }) => sum + residentBytes, 0) / 1_048_576,
        ),
        diskGiB: Math.round((diskBytes / GIB) * 1_000) / 1_000,
        networkMbps: elapsedMs > 0 ? Math.round((bytes * 8) / elapsedMs) / 1_000 : 0,
      },
      load1: loadavg()[0] ?? 0,
      containers: [...containers],
    };
  }
}
