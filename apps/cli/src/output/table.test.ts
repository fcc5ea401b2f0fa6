import { describe, expect, test } from '@jest/globals';
import { bar, Progress } from './progress.js';
import { renderFacts, renderTable } from './table.js';

describe('tables', () => {
  test('columns are aligned and the last one is not padded', () => {
    expect(
      renderTable(
        ['NAME', 'STATE'],
        [
          ['node1', 'up'],
          ['a', 'down'],
        ],
      ),
    ).toBe('NAME    STATE\nnode1   up\na       down\n');
  });

  test('wide characters take two columns', () => {
    expect(
      renderTable(
        ['A', 'B'],
        [
          ['数学', 'x'],
          ['ab', 'y'],
        ],
      ),
    ).toBe('A      B\n数学   x\nab     y\n');
  });

  test("control characters in other people's names do not reach the terminal", () => {
    const shown = renderTable(['COMMAND'], [['evil\x1b[2J\nnext']]);
    expect(shown).toBe('COMMAND\nevil\\x1b[2J\\x0anext\n');
  });

  test('facts without a value are left out', () => {
    expect(
      renderFacts([
        ['Name', 'aula'],
        ['Detail', ''],
        ['Exclusive to', null],
      ]),
    ).toBe('Name:  aula\n');
  });
});

describe('progress', () => {
  test('nothing is written where there is no terminal', () => {
    const written: string[] = [];
    const progress = new Progress({ write: (text) => written.push(text) });
    progress.show('working', 0.5);
    progress.clear();
    expect(written).toEqual([]);
  });

  test('a terminal gets one line that is drawn over and taken away', () => {
    const written: string[] = [];
    let now = 0;
    const progress = new Progress(
      { write: (text) => written.push(text), isTTY: true, columns: 60 },
      () => now,
    );
    progress.show('working', 0.5);
    progress.show('too soon', 0.6);
    now = 100;
    progress.show('working', 1);
    progress.clear();
    expect(written.map((text) => text.replaceAll('\x1b[K', ''))).toEqual([
      `\r${bar(0.5)} working`,
      `\r${bar(1)} working`,
      '\r',
    ]);
  });

  test('a bar stays within its cells', () => {
    expect(bar(-1)).toMatch(/^\[\.+\] {3}0%$/);
    expect(bar(7)).toMatch(/^\[#+\] 100%$/);
  });
});
