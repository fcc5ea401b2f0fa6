import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Deadlines } from './deadlines.js';
import { makeEndpoint } from './endpoint.js';
import { LocalProcess } from './local-process.js';
import { PEER_PRIVILEGES } from './privileges.js';

const process = (slot: number) => new LocalProcess(makeEndpoint(slot, 1), false, {}, PEER_PRIVILEGES, 1);

describe('the deadlines of timed calls', () => {
  it('come due in the order of time, whatever is set, changed and cleared before', () => {
    const step = fc.record({ who: fc.nat(9), at: fc.nat(1_000), clears: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const processes = Array.from({ length: 10 }, (_, i) => process(100 + i));
        const deadlines = new Deadlines();
        const wanted = new Map<number, number>();
        for (const { who, at, clears } of steps) {
          if (clears) {
            deadlines.clear(processes[who]!);
            wanted.delete(who);
          } else {
            deadlines.set(processes[who]!, at);
            wanted.set(who, at);
          }
          expect(deadlines.nextMs).toBe(Math.min(Number.POSITIVE_INFINITY, ...wanted.values()));
        }
        const due: number[] = [];
        for (let one = deadlines.due(500); one !== undefined; one = deadlines.due(500)) {
          due.push(wanted.get(processes.indexOf(one))!);
        }
        expect(due).toEqual([...wanted.values()].filter((at) => at <= 500).sort((a, b) => a - b));
      }),
    );
  });
});
