import { describe, expect, test } from '@jest/globals';
import { numbered, parseBatch } from './create-batch.js';

describe('many DRVMs at once', () => {
  test('are a list, or the body of the API', () => {
    expect(parseBatch('[{"name":"a","cpu":1}]', 'f')).toEqual({ drvms: [{ name: 'a', cpu: 1 }] });
    expect(parseBatch('{"tenant":"fisica","drvms":[{"name":"a"}]}', 'f')).toEqual({
      tenant: 'fisica',
      drvms: [{ name: 'a' }],
    });
  });

  test('are refused when there are none, too many, or it is something else', () => {
    for (const text of ['', '[]', '{}', 'null', '[1]', '"a"'])
      expect(() => parseBatch(text, 'f')).toThrow(/^f (is not JSON|holds no list)/);
    expect(() => parseBatch(JSON.stringify(Array(501).fill({ name: 'a' })), 'f')).toThrow('501 DRVMs');
    expect(() => numbered('a', 501, {})).toThrow('501 DRVMs');
  });

  test('by a count are numbered, all names of one length', () => {
    expect(numbered('aula', 2, { cpu: 1 })).toEqual([
      { name: 'aula-1', cpu: 1 },
      { name: 'aula-2', cpu: 1 },
    ]);
    expect(numbered('aula', 10, {}).map(({ name }) => name)).toEqual(
      ['01', '02', '03', '04', '05', '06', '07', '08', '09', '10'].map((each) => `aula-${each}`),
    );
  });
});
