import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { applyPart, BLOCK_BYTES, memoryParts, PART_BYTES } from './machine-state.js';

describe('memory in parts', () => {
  test('a memory is what its parts make of an empty one', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.array(fc.tuple(fc.nat(40 * 16 - 1), fc.nat(BLOCK_BYTES - 1), fc.integer({ min: 1, max: 255 })), {
          maxLength: 60,
        }),
        (pages, writes) => {
          const memory = new Uint8Array(pages * 65_536);
          for (const [block, at, value] of writes) {
            const address = block * BLOCK_BYTES + at;
            if (address < memory.length) memory[address] = value;
          }
          const copy = new Uint8Array(memory.length);
          for (const part of memoryParts(memory)) {
            expect(part.length).toBeLessThanOrEqual(PART_BYTES + BLOCK_BYTES + 8);
            applyPart(copy, part);
          }
          return Buffer.compare(memory, copy) === 0;
        },
      ),
      { numRuns: 60 },
    );
  });

  test('an empty memory has no parts', () => {
    expect([...memoryParts(new Uint8Array(65_536))]).toEqual([]);
  });

  test('what is not a part of the memory is refused', () => {
    const memory = new Uint8Array(65_536);
    memory[65_535] = 1;
    const [part] = Array.from(memoryParts(memory), (bytes) => bytes.slice());
    expect(() => applyPart(new Uint8Array(BLOCK_BYTES), part!)).toThrow(/beyond the memory/);
    expect(() => applyPart(memory, part!.subarray(0, 100))).toThrow(/beyond the memory/);
    expect(() => applyPart(memory, part!.subarray(0, 5))).toThrow(/cut short/);
  });
});
