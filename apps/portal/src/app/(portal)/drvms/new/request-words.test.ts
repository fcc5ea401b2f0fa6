import { describe, expect, test } from '@jest/globals';
import { asCommand, asGraphql, asRest, type WishedDrvm } from './request-words.js';

const wished: WishedDrvm = {
  name: 'aula',
  tenant: 'fisica',
  cpu: 0.6,
  memoryMiB: 768,
  diskGiB: 3,
  nodeCount: 2,
  policy: 'spread',
};

describe('the request of the form', () => {
  test('is a command line', () => {
    expect(asCommand(wished)).toBe(
      'drvs drvm create aula --tenant fisica --cpu 0.6 --memory 768Mi --disk 3Gi --nodes 2 --policy spread',
    );
  });

  test('is a call of REST, whose body names the number of nodes as REST does', () => {
    const words = asRest(wished, 'https://drvs.example.org');
    expect(words).toContain('curl -X POST https://drvs.example.org/api/v1/drvms');
    expect(JSON.parse(/-d '(.*)'/.exec(words)?.[1] ?? '')).toEqual({
      name: 'aula',
      tenant: 'fisica',
      cpu: 0.6,
      memoryMiB: 768,
      diskGiB: 3,
      policy: 'spread',
      nodes: 2,
    });
  });

  test('is a mutation of GraphQL', () => {
    expect(asGraphql(wished)).toContain('input: { name: "aula", tenant: "fisica", cpu: 0.6, memoryMiB: 768');
    expect(asGraphql(wished)).toContain('nodeCount: 2');
  });

  test('says nothing of what is left to the planner', () => {
    const free = { ...wished, tenant: null, nodeCount: null, diskGiB: 0 };
    expect(asCommand(free)).toBe('drvs drvm create aula --cpu 0.6 --memory 768Mi --policy spread');
    expect(asRest(free, 'http://x')).not.toContain('nodes');
    expect(asGraphql(free)).not.toMatch(/nodeCount|tenant/);
  });
});
