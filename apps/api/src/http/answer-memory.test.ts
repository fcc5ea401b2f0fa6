import { describe, expect, it } from '@jest/globals';
import { AnswerMemory, type KeptAnswer } from './answer-memory.js';

const answer = (text: string, madeAt = 2): KeptAnswer => ({
  text,
  contentType: 'application/json',
  etag: undefined,
  madeAt,
});
const moment = (snapshot: string, askedAt = 1) => ({ snapshot, askedAt });

describe('answers of one moment', () => {
  it('are given while it is that moment, to the same question', () => {
    const memory = new AnswerMemory();
    memory.keep(moment('10:10:'), 'ana /a', answer('1'));
    expect(memory.at(moment('10:10:', 3), 'ana /a')?.text).toBe('1');
    expect(memory.at(moment('10:10:', 3), 'ana /b')).toBeUndefined();
    expect(memory.at(moment('10:10:', 3), 'luis /a')).toBeUndefined();
    expect(memory.at(moment('10:11:', 3), 'ana /a')).toBeUndefined();
  });

  it('are given only to whoever asked for the moment after they were made', () => {
    const memory = new AnswerMemory();
    memory.keep(moment('10:10:', 1), 'ana /a', answer('1', 5));
    expect(memory.at(moment('10:10:', 4), 'ana /a')).toBeUndefined();
    expect(memory.at(moment('10:10:', 5), 'ana /a')).toBeUndefined();
    expect(memory.at(moment('10:10:', 6), 'ana /a')).toBeDefined();
  });

  it('go when the ledger has moved on, and do not come back with a late answer of the moment before', () => {
    const memory = new AnswerMemory();
    memory.keep(moment('10:10:'), 'ana /a', answer('old'));
    memory.keep(moment('10:11:'), 'ana /b', answer('new'));
    memory.keep(moment('10:10:'), 'ana /c', answer('late'));
    expect(memory.at(moment('10:11:', 3), 'ana /a')).toBeUndefined();
    expect(memory.at(moment('10:11:', 3), 'ana /c')).toBeUndefined();
    expect(memory.at(moment('10:10:', 3), 'ana /a')).toBeUndefined();
  });

  it('are as many as there is room for, and none is too long', () => {
    const memory = new AnswerMemory(20, 10);
    memory.keep(moment('m'), 'a', answer('x'.repeat(8)));
    memory.keep(moment('m'), 'b', answer('x'.repeat(10)));
    memory.keep(moment('m'), 'c', answer('x'.repeat(8)));
    memory.keep(moment('m'), 'd', answer('x'.repeat(8)));
    const known = ['a', 'b', 'c', 'd'].filter((question) => memory.at(moment('m', 3), question));
    expect(known).toEqual(['a', 'c']);
    memory.keep(moment('n'), 'd', answer('x'.repeat(8)));
    expect(memory.at(moment('n', 3), 'd')).toBeDefined();
  });
});
