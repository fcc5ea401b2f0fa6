import { describe, expect, test } from '@jest/globals';
import { buildProgram } from '../program.js';
import { Shell } from '../shell.js';
import { candidatesFor } from './completion.js';
import type { Listing } from './completion-names.js';
import { parsePlace } from './copy.js';
import { parseLabel } from './node.js';
import { parseNodes } from './placement-options.js';

const program = buildProgram(new Shell({}));
const things: Record<string, string[]> = {
  '/drvms': ['aula', 'fisica'],
  '/nodes': ['node1', 'node2'],
  '/tenants': ['demo'],
  '/operations': ['0199-a', '0199-b'],
  '/drvms/aula/processes': ['2', '12'],
};
const complete = (words: string[]) =>
  candidatesFor(program, words, async ({ path }: Listing) => things[path] ?? []);

describe('completion', () => {
  test('offers commands, then their subcommands', async () => {
    expect(await complete(['dr'])).toEqual(['drvm']);
    expect(await complete(['drvm', 'st'])).toEqual(['start', 'stop']);
    expect(await complete([''])).not.toContain('__complete');
  });

  test('offers names of DRVMs, nodes and departments where they are wanted', async () => {
    expect(await complete(['ps', ''])).toEqual(['aula', 'fisica']);
    expect(await complete(['drvm', 'show', 'fi'])).toEqual(['fisica']);
    expect(await complete(['migrate', 'aula', '1', '--to', ''])).toEqual(['node1', 'node2']);
    expect(await complete(['tenant', 'quota', ''])).toEqual(['demo']);
    expect(await complete(['tenant', 'create', ''])).toEqual([]);
    expect(await complete(['node', 'show', 'node2'])).toEqual(['node2']);
  });

  test('offers the processes of the DRVM that was named, and operations', async () => {
    expect(await complete(['kill', 'aula', '1'])).toEqual(['12']);
    expect(await complete(['logs', 'other', ''])).toEqual([]);
    expect(await complete(['op', 'show', ''])).toEqual(['0199-a', '0199-b']);
  });

  test('offers options and their choices, also after =, and lists of names', async () => {
    expect(await complete(['migrate', 'aula', '1', '--t'])).toEqual(['--to']);
    expect(await complete(['token', 'create', 'ci', '--role', 'a'])).toEqual(['auditor']);
    expect(await complete(['token', 'create', 'ci', '--role=s'])).toEqual(['--role=supra-admin']);
    expect(await complete(['migrate', 'aula', '1', '--to=node'])).toEqual(['--to=node1', '--to=node2']);
    expect(await complete(['drvm', 'create', 'x', '--nodes', 'node1,n'])).toEqual([
      'node1,node1',
      'node1,node2',
    ]);
    expect(await complete(['completion', 'b'])).toEqual(['bash']);
    expect(await complete(['ps', '--js'])).toEqual(['--json']);
  });

  test('leaves what belongs to a program, and files of this machine, to the shell', async () => {
    expect(await complete(['run', 'aula', 'program.wasm', ''])).toEqual([]);
    expect(await complete(['cp', 'fi'])).toEqual(['fisica:']);
    expect(await complete(['cp', 'aula:/d'])).toEqual([]);
    expect(await complete(['cp', ''])).toEqual([]);
  });
});

describe('arguments', () => {
  test('a place is inside a DRVM or here', () => {
    expect(parsePlace('aula:/a/../b')).toEqual({ drvm: 'aula', path: '/b' });
    expect(parsePlace('demo~aula:/')).toEqual({ drvm: 'demo~aula', path: '/' });
    expect(parsePlace('./aula:/b')).toEqual({ drvm: null, path: './aula:/b' });
    expect(() => parsePlace('aula:b')).toThrow(/path inside/);
  });

  test('nodes are a number or names', () => {
    expect(parseNodes('2')).toBe(2);
    expect(parseNodes('node1,node2')).toEqual(['node1', 'node2']);
    expect(() => parseNodes('node1,node1')).toThrow(/does not name nodes/);
    expect(() => parseNodes('0')).toThrow(/at least one/);
  });

  test('a label is set, or taken away', () => {
    expect(parseLabel('rack=a1=b')).toEqual({ key: 'rack', value: 'a1=b' });
    expect(parseLabel('rack-')).toEqual({ key: 'rack', value: null });
    expect(() => parseLabel('rack')).toThrow(/not a label/);
  });
});
