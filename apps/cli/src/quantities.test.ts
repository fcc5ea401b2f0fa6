import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  formatBytes,
  formatMs,
  parseAmounts,
  parseCpu,
  parseDiskGiB,
  parseDurationSeconds,
  parseMemoryMiB,
  parseNetworkMbps,
} from './quantities.js';

describe('amounts as people write them', () => {
  test.each([
    ['2', 2],
    ['0.5', 0.5],
    ['.25', 0.25],
    ['500m', 0.5],
    ['50m', 0.05],
    ['1.5', 1.5],
  ])('%s is %d vCPUs', (text, cpus) => expect(parseCpu(text)).toBe(cpus));

  test.each(['', '0', '0m', '-1', '1.5m', 'two', '1e3', '0.0001', '1 2'])(
    '"%s" is no amount of CPU',
    (text) => expect(() => parseCpu(text)).toThrow(/not an amount of CPU/),
  );

  test.each(['2.00005', '0.1234'])('"%s" is finer than what is counted, and not rounded', (text) =>
    expect(() => parseCpu(text)).toThrow(/not counted in thousandths/),
  );

  test.each([
    ['512Mi', 512],
    ['4Gi', 4096],
    ['1.5Gi', 1536],
    ['512MiB', 512],
    ['1G', 954],
    ['1Ti', 1_048_576],
    ['100K', 1],
  ])('%s is %d MiB of memory, rounded up', (text, mib) => expect(parseMemoryMiB(text)).toBe(mib));

  test('memory without a unit is refused: 512 bytes are never meant', () => {
    expect(() => parseMemoryMiB('512')).toThrow(/no unit/);
    expect(() => parseMemoryMiB('512Xi')).toThrow(/not a size/);
    expect(() => parseMemoryMiB('-1Gi')).toThrow(/not a size/);
    expect(() => parseMemoryMiB('0Mi')).toThrow(/not an amount/);
  });

  test('disk is whole GiB, rounded up', () => {
    expect(parseDiskGiB('4Gi')).toBe(4);
    expect(parseDiskGiB('512Mi')).toBe(1);
    expect(parseDiskGiB('4.1Gi')).toBe(5);
  });

  test('bandwidth is in Mbit/s', () => {
    expect(parseNetworkMbps('100')).toBe(100);
    expect(parseNetworkMbps('1G')).toBe(1000);
    expect(() => parseNetworkMbps('0')).toThrow();
  });

  test('durations have a unit', () => {
    expect(parseDurationSeconds('30d')).toBe(2_592_000);
    expect(parseDurationSeconds('15m')).toBe(900);
    expect(() => parseDurationSeconds('30')).toThrow(/not a duration/);
  });

  test('a list of amounts names each at most once', () => {
    expect(parseAmounts(['cpu=4', 'memory=4Gi', 'disk=none'])).toEqual({
      cpu: 4,
      memoryMiB: 4096,
      diskGiB: null,
    });
    expect(() => parseAmounts(['cpu=1', 'cpu=2'])).toThrow(/twice/);
    expect(() => parseAmounts(['cores=1'])).toThrow(/not an amount/);
    expect(() => parseAmounts(['cpu'])).toThrow(/not an amount/);
  });

  test('every whole number of MiB is read as it was written', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1 << 24 }), (mib) => {
        expect(parseMemoryMiB(`${mib}Mi`)).toBe(mib);
      }),
    );
  });
});

describe('amounts as they are shown', () => {
  test.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1 KiB'],
    [1536, '1.5 KiB'],
    [196_608, '192 KiB'],
    [5 * 2 ** 40, '5120 GiB'],
  ])('%d bytes are %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text));

  test.each([
    [0, '0ms'],
    [999, '999ms'],
    [3_200, '3.2s'],
    [252_000, '4m12s'],
    [11_100_000, '3h05m'],
    [187_200_000, '2d04h'],
  ])('%d ms are %s', (ms, text) => expect(formatMs(ms)).toBe(text));
});
