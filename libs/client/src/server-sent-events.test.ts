import { expect, test } from '@jest/globals';
import { linesIn, serverSentEvents } from './server-sent-events.js';

async function gather<T>(all: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of all) items.push(item);
  return items;
}

async function* given<T>(...items: T[]): AsyncGenerator<T> {
  yield* items;
}

test('server-sent events are put together from their lines', async () => {
  const lines = given(
    ': keep alive',
    'id: 7',
    'data: {"a":',
    'data:1}\r',
    '',
    'event: x',
    '',
    'data: last, cut off',
  );
  expect(await gather(serverSentEvents(lines))).toEqual([{ id: '7', data: '{"a":\n1}' }]);
});

test('lines are put together from pieces, also where a letter is cut in two', async () => {
  const bytes = Buffer.from('uno\nseñal\nrest');
  expect(await gather(linesIn(given(bytes.subarray(0, 7), bytes.subarray(7))))).toEqual(['uno', 'señal']);
});
