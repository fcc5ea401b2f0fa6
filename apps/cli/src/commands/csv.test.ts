import { expect, test } from '@jest/globals';
import { parseCsv } from './csv.js';

test('fields in quotes may hold commas, quotes and line ends; empty lines do not count', () => {
  expect(parseCsv('\uFEFFname,cpu\r\nana,0.5\n\n"luis, ""el""\nsegundo",1')).toEqual([
    ['name', 'cpu'],
    ['ana', '0.5'],
    ['luis, "el"\nsegundo', '1'],
  ]);
  expect(parseCsv('')).toEqual([]);
});

test('a quote that is not closed is told', () => {
  expect(() => parseCsv('name\n"ana')).toThrow('does not end with one');
});
