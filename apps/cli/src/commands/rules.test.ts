import { describe, expect, test } from '@jest/globals';
import { parseRules } from './rules.js';

describe('rules on the command line', () => {
  test('are lists that replace those before, and an empty one takes a rule away', () => {
    expect(parseRules(['anti-affinity=banco, quimica~cine', 'require=arch=x64,ssd', 'tolerate='])).toEqual({
      antiAffinity: ['banco', 'quimica~cine'],
      require: ['arch=x64', 'ssd'],
      tolerate: [],
    });
  });

  test('are refused when they are not known or said twice', () => {
    expect(() => parseRules(['near=banco'])).toThrow('no rule of a DRVM');
    expect(() => parseRules(['ssd'])).toThrow('no rule of a DRVM');
    expect(() => parseRules(['require=a', 'require=b'])).toThrow('given twice');
  });
});
