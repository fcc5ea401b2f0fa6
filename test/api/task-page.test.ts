import { describe, expect, test } from '@jest/globals';
import { asPattern, isAsWritten, parseTaskPage, withOutputs } from '../support/task-page.js';

const PAGE = [
  '# Task',
  '',
  '## REST',
  '',
  '```sh',
  'echo a',
  'echo b',
  '```',
  '',
  '```text output',
  'a',
  'b',
  '```',
  '',
].join('\n');

describe('a page of a task', () => {
  test('holds blocks to run, each with what it prints', () => {
    expect(parseTaskPage(PAGE)).toEqual([
      {
        title: 'REST',
        blocks: [{ line: 6, script: 'echo a\necho b', output: { text: 'a\nb', firstLine: 10, lines: 2 } }],
      },
    ]);
    expect(() => parseTaskPage('```text output\nx\n```')).toThrow(/belongs to no block/);
  });

  test('gets what is printed in place of what it says', () => {
    expect(withOutputs(PAGE, new Map([[6, 'c']]))).toBe(
      PAGE.replace('a\nb\n```\n', 'c\n```\n').replace('echo c', 'echo a\necho b'),
    );
    expect(withOutputs(PAGE, new Map())).toBe(PAGE);
  });
});

describe('what is printed is as written', () => {
  test('word for word, with blanks as wide as they like', () => {
    expect(isAsWritten('NAME  STATE\nnode1 up', 'NAME    STATE\nnode1   up\n')).toBe(true);
    expect(isAsWritten('node1 up', 'node1 down')).toBe(false);
    expect(isAsWritten('a.c', 'abc')).toBe(false);
    expect(isAsWritten('', '')).toBe(true);
    expect(isAsWritten('', 'x')).toBe(false);
  });

  test('with words that differ, the rest of a line, and lines', () => {
    expect(isAsWritten('{"id":"<id>","n":1}', '{"id":"0199-a","n":1}')).toBe(true);
    expect(isAsWritten('{"id":"<id>","n":1}', '{"id":"0199 a","n":1}')).toBe(false);
    expect(isAsWritten('moved: …', 'moved: 12 bytes')).toBe(true);
    expect(isAsWritten('first\n…\nlast', 'first\n1\n2\nlast')).toBe(true);
    expect(isAsWritten('first\n…\nlast', 'first\n1\n2\n3')).toBe(false);
    expect(isAsWritten('first\n…', 'first\n1\n2')).toBe(true);
  });

  test('what differs from run to run is found in what was printed', () => {
    const printed =
      'Id: 0199f3a2-7c41-7d2e-9b1a-5f0c2e8d4a11\nat 2026-03-02T09:30:00.000Z in 8.3 ms, 5s ago at http://127.0.0.1:3000\n';
    expect(asPattern(printed)).toBe('Id: <id>\nat <time> in <n> ms, … at <url>');
    expect(isAsWritten(asPattern(printed), printed)).toBe(true);
  });
});
