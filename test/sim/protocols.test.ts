import { FAULT_KINDS, type ProtocolSimulationReport, simulateProtocols } from '@drvs/drvmm-core';
import { describe, expect, it } from '@jest/globals';
import { PROTOCOL_MUTATIONS, type ProtocolMutation } from './protocol-mutations.js';

/** A mutation that this many seeds do not show counts as one that the simulator cannot find. */
const SEEDS_MAX = 60;

function withMutation(mutation: ProtocolMutation, seed: number): ProtocolSimulationReport {
  return simulateProtocols({
    nodes: 5,
    seed,
    events: mutation.events ?? 15_000,
    faults: mutation.faults ?? FAULT_KINDS,
    faultEveryMs: mutation.faultEveryMs ?? 200,
    parts: mutation.parts,
    createSwim: mutation.createSwim,
    withMembership: mutation.createSwim !== undefined,
    createProcessGroup: mutation.createProcessGroup,
    withProcessGroups: mutation.createProcessGroup !== undefined,
  });
}

describe('the protocols in virtual time', () => {
  it('keep their promises under all faults', () => {
    let judged = 0;
    let undecided = 0;
    for (let seed = 1; seed <= 8; seed++) {
      const report = simulateProtocols({ nodes: 5, seed, events: 15_000, faults: FAULT_KINDS });
      expect({ seed, violations: report.violations }).toEqual({ seed, violations: [] });
      judged += report.counters.historiesJudged ?? 0;
      undecided += report.counters.historiesUndecided ?? 0;
    }
    // Many operations without an answer may take the checker more steps than it has.
    expect(undecided).toBeLessThan(judged / 20);
  });

  it('keep them in several groups on one cluster', () => {
    const report = simulateProtocols({ nodes: 20, seed: 5, events: 40_000, faults: FAULT_KINDS });
    expect(report.violations).toEqual([]);
    expect(report.groups).toBe(4);
    expect(report.counters.commits).toBeGreaterThan(100);
  });

  it('do the same again with the same seed, and something else with another', () => {
    const run = (seed: number) => simulateProtocols({ nodes: 5, seed, events: 8_000, faults: FAULT_KINDS });
    expect(run(3)).toEqual(run(3));
    expect(run(4).digest).not.toBe(run(3).digest);
  });

  it('elect once and lose nobody when nothing fails', () => {
    const report = simulateProtocols({ nodes: 5, seed: 1, events: 20_000, faults: [] });
    expect(report.violations).toEqual([]);
    expect(report.counters).toMatchObject({ elections: 1 });
    expect(report.counters.deathsSeen ?? 0).toBe(0);
    expect(report.counters.sessionsLost ?? 0).toBe(0);
  });
});

describe('the simulator finds that', () => {
  for (const mutation of PROTOCOL_MUTATIONS) {
    it(mutation.name, () => {
      // The seed that showed it last comes first: a change of the protocols may move it, not hide it.
      for (const seed of [mutation.seed, ...Array.from({ length: SEEDS_MAX }, (_, at) => at + 1)]) {
        if (withMutation(mutation, seed).violations.length > 0) return;
      }
      throw new Error(`none of ${SEEDS_MAX} seeds shows it`);
    });
  }

  it('at least fifteen mistakes of different kinds are tried', () => {
    expect(new Set(PROTOCOL_MUTATIONS.map(({ name }) => name)).size).toBeGreaterThanOrEqual(15);
  });
});
