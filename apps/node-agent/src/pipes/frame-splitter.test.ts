import { MAX_FRAME_BYTES } from '@drvs/contracts';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { FrameSplitter, LENGTH_BYTES } from './frame-splitter.js';

function streamOf(frames: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(
    frames.flatMap((frame) => {
      const length = Buffer.alloc(LENGTH_BYTES);
      length.writeUInt32BE(frame.length);
      return [length, frame];
    }),
  );
}

test('frames come out whole and in order, however the stream is cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 10 }),
      fc.array(fc.integer({ min: 1, max: 17 }), { minLength: 1 }),
      (frames, cuts) => {
        const out: string[] = [];
        const splitter = new FrameSplitter((frame) => out.push(Buffer.from(frame).toString('hex')));
        const stream = streamOf(frames);
        for (let at = 0, turn = 0; at < stream.length; turn++) {
          const size = cuts[turn % cuts.length] as number;
          splitter.push(stream.slice(at, at + size));
          at += size;
        }
        expect(out).toEqual(frames.map((frame) => Buffer.from(frame).toString('hex')));
      },
    ),
  );
});

test('a frame that claims to be too large is refused before its bytes come', () => {
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(MAX_FRAME_BYTES + 1);
  const splitter = new FrameSplitter(() => {});
  expect(() => splitter.push(length)).toThrow('too large');
});
