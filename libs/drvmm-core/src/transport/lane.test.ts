import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Lane } from './lane.js';
import { LINK_HEADER_BYTES, LinkKind, LinkParser } from './link-frame.js';

/** A body whose bytes say which it is; every third of the large ones leaves room for its header. */
function bodyOf(number: number, length: number): Uint8Array {
  const leavesRoom = number % 3 === 0;
  const bytes = new Uint8Array(length + (leavesRoom ? LINK_HEADER_BYTES : 0)).fill(number & 255);
  return leavesRoom ? bytes.subarray(LINK_HEADER_BYTES) : bytes;
}

describe('a lane', () => {
  it('gives every frame as it was taken, in order, until it is acknowledged, over any number of connections', () => {
    const step = fc.oneof(
      fc.record({
        push: fc.oneof({ weight: 4, arbitrary: fc.nat(300) }, { weight: 1, arbitrary: fc.nat(65_632) }),
      }),
      fc.record({ write: fc.oneof(fc.nat(2_000), fc.constant(Number.POSITIVE_INFINITY)) }),
      fc.record({ acknowledge: fc.nat(100) }),
      fc.record({ reconnect: fc.nat(100) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const lane = new Lane(LinkKind.Ipc);
        const lengths: number[] = [];
        let written = 0;
        let acked = 0;
        const parser = new LinkParser((kind, flags, sequence, ack, body) => {
          expect([kind, flags, sequence, ack]).toEqual([LinkKind.Ipc, 3, written + 1, 0]);
          expect(body.length).toBe(lengths[written]);
          for (const at of [0, body.length - 1]) if (body.length > 0) expect(body[at]).toBe(written & 255);
          written++;
        });
        const write = (most: number) => {
          const piece = lane.next(most);
          const before = written;
          parser.push(Buffer.from(piece));
          expect(written).toBeGreaterThan(before);
          expect(written === before + 1 || piece.length <= most).toBe(true);
        };
        for (const { push, write: most, acknowledge, reconnect } of steps as Partial<
          Record<'push' | 'write' | 'acknowledge' | 'reconnect', number>
        >[]) {
          if (push !== undefined) {
            lane.push(bodyOf(lengths.length, push), 3);
            lengths.push(push);
          } else if (most !== undefined) {
            if (lane.hasUnwritten) write(most);
          } else {
            acked += Math.floor(((written - acked) * (acknowledge ?? reconnect)!) / 100);
            if (acknowledge !== undefined) lane.acknowledge(acked);
            else {
              lane.resume(acked);
              written = acked;
            }
          }
          const kept = lengths.slice(acked).reduce((sum, length) => sum + length + LINK_HEADER_BYTES, 0);
          expect([lane.bytes, lane.hasUnwritten]).toEqual([kept, written < lengths.length]);
        }
        while (lane.hasUnwritten) write(Number.POSITIVE_INFINITY);
        expect(written).toBe(lengths.length);
      }),
      { numRuns: 200 },
    );
  });

  it('says in the last frame of each write what it has received by then', () => {
    const lane = new Lane(LinkKind.Ipc);
    const acks: number[] = [];
    const parser = new LinkParser((_kind, _flags, _sequence, ack) => void acks.push(ack));
    lane.push(new Uint8Array(8), 0);
    lane.accept(1, 10);
    lane.push(new Uint8Array(8), 0);
    lane.accept(2, 10);
    parser.push(Buffer.from(lane.next(1_000)));
    expect(acks).toEqual([0, 2]);
    expect([lane.unreportedFrames, lane.mustReport]).toEqual([0, false]);
  });

  it('does not take an acknowledgement of what was never written', () => {
    const lane = new Lane(LinkKind.Ipc);
    lane.push(new Uint8Array(8), 0);
    expect(() => lane.acknowledge(1)).toThrow('never sent');
  });
});
