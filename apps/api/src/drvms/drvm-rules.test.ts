import { describe, expect, test } from '@jest/globals';
import { brokenRules, contradictionIn, DrvmRulesChange, nodeTermsOf } from './drvm-rules.js';

const rule = (drvmId: string, kind: string, otherId: string) => ({ drvmId, kind, otherId });

describe('the rules of a DRVM', () => {
  test('name each slice that breaks one, with the rule', () => {
    const nodes = [
      { name: 'node1', traits: ['ssd'], taints: [], drvmIds: ['a', 'b'] },
      { name: 'node2', traits: [], taints: ['old=1:NoSchedule'], drvmIds: ['a'] },
    ];
    const terms = { require: ['ssd'], forbid: [], tolerate: ['old'] };
    const others = [
      { id: 'b', name: 'banco', kind: 'apart' as const },
      { id: 'c', name: 'cine', kind: 'together' as const },
    ];
    expect(brokenRules(terms, others, nodes)).toEqual([
      { node: 'node1', rule: 'not-together', reason: 'cine is not there' },
      { node: 'node1', rule: 'not-apart', reason: 'banco is there too' },
      { node: 'node2', rule: 'trait-missing', reason: 'it has not ssd' },
      { node: 'node2', rule: 'not-together', reason: 'cine is not there' },
    ]);
    expect(brokenRules({ ...terms, require: [], tolerate: [] }, [], nodes)).toEqual([
      expect.objectContaining({ node: 'node2', rule: 'tainted' }),
    ]);
  });

  test('contradict each other also by way of a third', () => {
    expect(contradictionIn([rule('a', 'together', 'b')], 'a')).toBeNull();
    expect(contradictionIn([rule('a', 'together', 'b'), rule('b', 'apart', 'a')], 'a')).toEqual(['b', 'a']);
    const chain = [rule('a', 'together', 'b'), rule('b', 'together', 'c'), rule('a', 'apart', 'c')];
    expect(contradictionIn(chain, 'a')).toEqual(['a', 'c']);
    // What binds b binds a too, which is to be with it.
    expect(contradictionIn(chain, 'b')).toEqual(['a', 'c']);
    expect(contradictionIn(chain, 'd')).toBeNull();
    expect(contradictionIn([rule('a', 'apart', 'b'), rule('c', 'together', 'a')], 'a')).toBeNull();
  });

  test('are read from what was asked for, whatever is there, and a change changes something', () => {
    expect(nodeTermsOf({ require: ['ssd'], cpu: 2 })).toEqual({ require: ['ssd'], forbid: [], tolerate: [] });
    expect(nodeTermsOf(null)).toEqual({ require: [], forbid: [], tolerate: [] });
    expect(DrvmRulesChange.safeParse({}).success).toBe(false);
    expect(DrvmRulesChange.safeParse({ affinity: [] }).success).toBe(true);
  });
});
