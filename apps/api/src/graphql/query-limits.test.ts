import { describe, expect, test } from '@jest/globals';
import { parse } from 'graphql';
import { MAX_ALIASES, MAX_DEPTH, requireWithinLimits } from './query-limits.js';

const judge =
  (query: string, variables = {}, mayIntrospect = true) =>
  () =>
    requireWithinLimits(parse(query), variables, mayIntrospect);
const nested = (depth: number) => `${'a{'.repeat(depth - 1)}b${'}'.repeat(depth - 1)}`;

describe('the limits of a query', () => {
  test('let the whole map of the cluster through', () => {
    expect(
      judge(
        '{nodes(first:500){nodes{id name state capacity{cpu memoryMiB} slices{id drvm cpu usedCpu}}pageInfo{hasNextPage}}}',
      ),
    ).not.toThrow();
  });

  test('refuse what goes too deep', () => {
    expect(judge(`{${nested(MAX_DEPTH)}}`)).not.toThrow();
    expect(judge(`{${nested(MAX_DEPTH + 1)}}`)).toThrow(/depth/);
  });

  test('count aliases, also those in fragments', () => {
    const aliases = (n: number) => Array.from({ length: n }, (_, i) => `x${i}: me { id }`).join(' ');
    expect(judge(`{${aliases(MAX_ALIASES)}}`)).not.toThrow();
    expect(judge(`{${aliases(MAX_ALIASES + 1)}}`)).toThrow(/aliases/);
    expect(judge(`{...F ...F} fragment F on Query {${aliases(20)}}`)).toThrow(/aliases/);
  });

  test('count lists at the length that is asked for, by a variable too', () => {
    const query = 'query($n:Int){drvms(first:$n){nodes{operations(first:500){id kind state steps{name}}}}}';
    expect(judge(query, { n: 1 })).not.toThrow();
    expect(judge(query, { n: 500 })).toThrow(/cost/);
  });

  test('stop at once at fragments that double each other', () => {
    const doubling = Array.from(
      { length: 40 },
      (_, i) => `fragment F${i} on Query{...F${i + 1} ...F${i + 1}}`,
    );
    expect(judge(`{...F0} ${doubling.join(' ')} fragment F40 on Query{me{id}}`)).toThrow(/cost/);
  });

  test('keep introspection for those who are signed in', () => {
    expect(judge('{__schema{types{name}}}', {}, false)).toThrow(/introspection/);
    expect(judge('{me{__typename id}}', {}, false)).not.toThrow();
    expect(judge('{__schema{types{name}}}')).not.toThrow();
  });
});
