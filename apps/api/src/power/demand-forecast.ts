import { type ExpectedHour, expectedDemand, mostWithin } from '@drvs/policy';
import { Injectable } from '@nestjs/common';
import { Database } from '../database/database.js';

/** Four weeks, as far as the forecast looks back. */
const PAST_HOURS = 4 * 7 * 24;
const HOUR_MS = 3_600_000;
/** A node that is switched off now should not be missed for so long; one that is woken is up in less than an hour. */
const SECONDS_AHEAD = { consolidate: 7_200, power: 3_600 } as const;
/** The past does not change; the present is asked anew. */
const PAST_FRESH_MS = 300_000;

/** What is to be expected of the cluster's demand for CPU, from what was wanted in the weeks before. */
@Injectable()
export class DemandForecast {
  #past: { at: number; hours: { hourMs: number; peakMilli: number }[] } | null = null;

  constructor(private readonly database: Database) {}

  /** For a planner: milli-vCPU at most in the time that it plans for; null while nothing of the past is known. */
  mostExpected(kind: keyof typeof SECONDS_AHEAD, nowMs = Date.now()): Promise<number | null> {
    return this.ahead(SECONDS_AHEAD[kind], nowMs);
  }

  /** The present hour and those after it. */
  async hours(count: number, nowMs = Date.now()): Promise<ExpectedHour[]> {
    return expectedDemand(await this.#pastHours(nowMs), nowMs, await this.#present(), count);
  }

  /**
   * The most milli-vCPU that are expected to be wanted from now until so many seconds from now; null while nothing is
   * known of any past, when the present is all there is to go by.
   */
  async ahead(seconds: number, nowMs = Date.now()): Promise<number | null> {
    const expected = await this.hours(2 + Math.ceil((seconds * 1_000) / HOUR_MS), nowMs);
    if (expected.every(({ basis }) => basis === 'present')) return null;
    return mostWithin(expected, nowMs, seconds);
  }

  async #pastHours(nowMs: number): Promise<{ hourMs: number; peakMilli: number }[]> {
    if (this.#past && performance.now() - this.#past.at < PAST_FRESH_MS) return this.#past.hours;
    const rows = await this.database.unrestricted.demandHour.findMany({
      where: { hour: { gte: new Date(nowMs - PAST_HOURS * HOUR_MS) } },
    });
    const hours = rows.map(({ hour, peakMilli }) => ({ hourMs: hour.getTime(), peakMilli }));
    this.#past = { at: performance.now(), hours };
    return hours;
  }

  async #present(): Promise<number> {
    const { _sum } = await this.database.unrestricted.slice.aggregate({ _sum: { usedCpuMilli: true } });
    return _sum.usedCpuMilli ?? 0;
  }
}
