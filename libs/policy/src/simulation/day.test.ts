import { describe, expect, it } from '@jest/globals';
import { DEFAULT_POLICY } from '../planner-policy.js';
import { simulateDay } from './day.js';

const options = { nodes: 12, hours: 24, seed: 3, policy: DEFAULT_POLICY };

describe('a simulated day', () => {
  const report = simulateDay(options);
  const day = (name: string) => report.contenders.find((contender) => contender.name === name);

  it('is the same for the same seed, and another for another', () => {
    expect(simulateDay(options)).toEqual(report);
    expect(simulateDay({ ...options, hours: 2, seed: 4 }).contenders).not.toEqual(report.contenders);
  });

  it('breaks no invariant and no guarantee under the planners', () => {
    expect(report.violations).toEqual([]);
    expect(day('planned')?.guaranteeMissedCpuHours).toBeLessThanOrEqual(
      day('nothing')?.guaranteeMissedCpuHours ?? 0,
    );
  });

  it('delivers more of what is wanted with less energy for each hour than doing nothing', () => {
    const perHour = (name: string): number =>
      (day(name)?.energyKWh ?? 0) / (day(name)?.cpuHours.delivered ?? 0);
    expect(day('planned')?.cpuHours.delivered).toBeGreaterThan(day('nothing')?.cpuHours.delivered ?? 0);
    expect(perHour('planned')).toBeLessThan(perHour('nothing'));
    expect(day('planned')?.switches.off).toBeGreaterThan(0);
  });

  it('refuses a cluster that is out of bounds', () => {
    expect(() => simulateDay({ ...options, nodes: 0 })).toThrow('nodes is a whole number');
    expect(() => simulateDay({ ...options, hours: 1.5 })).toThrow('hours is a whole number');
  });
});
