import { execFile } from 'node:child_process';
import { join } from 'node:path';
import type { Heartbeat } from '@drvs/contracts';
import { readText } from '../inventory/sysfs.js';
import type { Log } from '../log.js';
import { EnergyCounter, raplZones } from './rapl.js';

const COMMAND_WITHIN_MS = 5_000;
const WATTS_MAX = 100_000;
/** A pause longer than this (a machine that slept) is not counted at the last reading. */
const COUNTS_AT_MOST_MS = 60_000;

/** Integrates readings of watts over time: each stands for the time since the one before. */
export class WattIntegral {
  #joules = 0;
  #atMs: number | null = null;

  add(watts: number, nowMs: number): void {
    const passedMs = this.#atMs === null ? 0 : Math.min(COUNTS_AT_MOST_MS, Math.max(0, nowMs - this.#atMs));
    this.#joules += (watts * passedMs) / 1_000;
    this.#atMs = nowMs;
  }

  get joules(): number {
    return this.#joules;
  }
}

/**
 * What the node has drawn since its agent started: by a command of its owner that prints watts (a meter in the socket),
 * else by the processor's counters, else not known.
 */
export class EnergyMeter {
  readonly #integral = new WattIntegral();
  readonly #counter: EnergyCounter | null;
  #hasRead = false;
  #isAsking = false;

  constructor(
    private readonly command: readonly string[] | undefined,
    powercap: string,
    private readonly log: Log,
  ) {
    const zones = command === undefined ? raplZones(powercap) : [];
    this.#counter = zones.length === 0 ? null : new EnergyCounter(zones);
    this.read();
  }

  read(): Heartbeat['energy'] {
    if (this.command !== undefined) {
      this.#ask(this.command);
      return this.#hasRead ? { source: 'command', joules: this.#integral.joules } : null;
    }
    if (this.#counter === null) return null;
    const joules = this.#counter.look((path) => {
      const text = readText(join(path, 'energy_uj'));
      return text === null ? null : Number(text);
    });
    return { source: 'rapl', joules };
  }

  /** In the background: a heartbeat does not wait for a meter. */
  #ask([program = '', ...words]: readonly string[]): void {
    if (this.#isAsking) return;
    this.#isAsking = true;
    execFile(program, words, { timeout: COMMAND_WITHIN_MS, maxBuffer: 65_536 }, (error, stdout) => {
      this.#isAsking = false;
      const watts = Number(stdout.trim().split(/\s/, 1)[0] || Number.NaN);
      if (error || !(watts >= 0 && watts <= WATTS_MAX)) {
        this.log.warn(
          { program, reason: error?.message ?? `it printed ${JSON.stringify(stdout.slice(0, 80))}` },
          'the meter gave no watts',
        );
        return;
      }
      this.#hasRead = true;
      this.#integral.add(watts, Date.now());
    });
  }
}
