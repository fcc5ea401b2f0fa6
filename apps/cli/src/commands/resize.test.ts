import { describe, expect, it } from '@jest/globals';
import { parseResize } from './resize.js';

describe('the words of a resize', () => {
  it('are amounts, ceilings and nodes', () => {
    expect(
      parseResize([
        'cpu=500m',
        'memory=1.5Gi',
        'disk=4Gi',
        'network=1G',
        'max-cpu=4',
        'max-memory=2Gi',
        'nodes=3',
      ]),
    ).toEqual({
      cpu: 0.5,
      memoryMiB: 1536,
      diskGiB: 4,
      networkMbps: 1000,
      ceiling: { cpu: 4, memoryMiB: 2048 },
      nodes: 3,
    });
    expect(parseResize(['nodes=+node4,-node2,+node5', 'network=0'])).toEqual({
      networkMbps: 0,
      nodes: { add: ['node4', 'node5'], remove: ['node2'] },
    });
  });

  it.each([
    'cpu',
    'cpu=-1',
    'memory=5',
    'speed=3',
    'max-speed=1',
    'nodes=0',
    'nodes=node4',
    'nodes=+',
    'cpu=1x',
  ])('are not "%s"', (word) => expect(() => parseResize([word])).toThrow());

  it('are given once each', () => {
    expect(() => parseResize(['cpu=1', 'cpu=2'])).toThrow('cpu is given twice');
  });
});
