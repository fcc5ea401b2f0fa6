import { seasonalForecast } from '@drvs/policy';
import { Injectable } from '@nestjs/common';
import { Database } from '../database/database.js';

const HOUR_MS = 3_600_000;
const DAY_HOURS = 24;
/** Days of the past that are looked at. */
const DAYS = 7;
/** A node that is switched off now should not be missed for so long; one that is woken is up in less than an hour. */
const HOURS_AHEAD = { consolidate: 2, power: 1 } as const;

/** What is to be expected of the cluster's CPU, from the hours of the past week. */
@Injectable()
export class DemandForecast {
  constructor(private readonly database: Database) {}

  /** Thousandths of a vCPU at most in the time to come; null while too little of the past is known. */
  async mostExpected(kind: keyof typeof HOURS_AHEAD, nowMs = Date.now()): Promise<number | null> {
    const hours = await this.database.unrestricted.demandHour.findMany({
      where: { hour: { gte: new Date(nowMs - (DAYS + 1) * DAY_HOURS * HOUR_MS) } },
      select: { hour: true, peakMilli: true },
    });
    return expectedOf(
      hours.map(({ hour, peakMilli }) => ({ atMs: hour.getTime(), peakMilli })),
      nowMs,
      HOURS_AHEAD[kind],
    );
  }
}

/** By hours of the day in UTC: the same hours of the days before, scaled by how this one compares with them. */
export function expectedOf(
  hours: readonly { atMs: number; peakMilli: number }[],
  nowMs: number,
  hoursAhead: number,
): number | null {
  const thisHour = Math.floor(nowMs / HOUR_MS);
  const days = new Map<number, number[]>();
  let present: number | null = null;
  for (const { atMs, peakMilli } of hours) {
    const back = thisHour - Math.floor(atMs / HOUR_MS);
    if (back === 0) present = peakMilli;
    // The days end an hour ago, so that each holds every hour of the day once.
    const day = Math.floor((back - 1) / DAY_HOURS);
    if (back < 1 || day >= DAYS) continue;
    const slots = days.get(day) ?? new Array<number>(DAY_HOURS).fill(0);
    const slot = Math.floor(atMs / HOUR_MS) % DAY_HOURS;
    slots[slot] = Math.max(slots[slot] ?? 0, peakMilli);
    days.set(day, slots);
  }
  const now = thisHour % DAY_HOURS;
  // A day of which this hour is not known says nothing about how today compares.
  const comparable = [...days.values()].filter((slots) => slots[now]! > 0);
  if (comparable.length === 0) return null;
  return seasonalForecast(comparable, now, present ?? comparable[0]![now]!, now, now + hoursAhead);
}
