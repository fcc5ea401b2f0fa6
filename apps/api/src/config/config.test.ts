import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { readConfig } from './config.js';
import { SecretBox } from './secret-box.js';

describe('the environment', () => {
  it('needs a database, and an empty variable is one that is not set', () => {
    expect(() => readConfig({ DATABASE_URL: '' })).toThrow('DATABASE_URL');
    const config = readConfig({ DATABASE_URL: 'postgresql://u@h/d', REDIS_URL: '', DRVS_DATA: '/data' });
    expect(config).toMatchObject({ redisUrl: null, portalUrl: null, port: 3000, secretFile: '/data/secret' });
  });

  it('names every variable that is malformed', () => {
    const read = () => readConfig({ DATABASE_URL: 'mysql://h/d', PORT: '70000', REDIS_URL: 'http://h' });
    expect(read).toThrow(/DATABASE_URL.*REDIS_URL.*PORT/);
  });
});

describe('the secret box', () => {
  it('opens what it has sealed, in its place only, and never what was altered', () => {
    const box = new SecretBox(new Uint8Array(32).fill(7));
    const sealed = box.seal(Buffer.from('private key'), 'drvm/1');
    expect(box.open(sealed, 'drvm/1').toString()).toBe('private key');
    expect(() => box.open(sealed, 'drvm/2')).toThrow('does not open');
    expect(() => new SecretBox(new Uint8Array(32).fill(8)).open(sealed, 'drvm/1')).toThrow('does not open');
    for (const place of [0, 13, sealed.length - 1]) {
      const altered = Uint8Array.from(sealed);
      altered[place] = (altered[place] as number) ^ 1;
      expect(() => box.open(altered, 'drvm/1')).toThrow('does not open');
    }
  });

  it('has one secret, also when several processes make it at the same moment', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'drvs-secret-'));
    const path = join(folder, 'below/secret');
    const boxes = await Promise.all(Array.from({ length: 8 }, () => SecretBox.fromFile(path)));
    const sealed = (boxes[0] as SecretBox).seal(Buffer.from('x'), 'c');
    for (const box of boxes) expect(box.open(sealed, 'c').toString()).toBe('x');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readFile(path)).toHaveLength(32);
    await writeFile(path, 'short');
    await expect(SecretBox.fromFile(path)).rejects.toMatchObject({ code: 'InvalidInput' });
    await rm(folder, { recursive: true });
  });
});
