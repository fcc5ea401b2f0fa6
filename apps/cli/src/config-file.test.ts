import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { configPath, credentials, readConfig, writeConfig } from './config-file.js';

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'drvs-config-'));
});
afterAll(() => rm(home, { recursive: true }));

describe('where the API is and who we are', () => {
  test('the file is in ~/.config/drvs and only its owner reads it', async () => {
    const path = await writeConfig({ HOME: home }, { url: 'http://127.0.0.1:3000', token: 'secret' });
    expect(path).toBe(join(home, '.config/drvs/config.json'));
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await credentials({ HOME: home })).toEqual({
      url: 'http://127.0.0.1:3000',
      token: 'secret',
      session: null,
    });
  });

  test('DRVS_URL and DRVS_TOKEN win', async () => {
    const env = { HOME: home, DRVS_URL: 'https://elsewhere.example/', DRVS_TOKEN: 'other' };
    expect(await credentials(env)).toEqual({
      url: 'https://elsewhere.example',
      token: 'other',
      session: null,
    });
  });

  test('a token of the file is not sent to another address that DRVS_URL names', async () => {
    expect((await credentials({ HOME: home, DRVS_URL: 'https://elsewhere.example' })).token).toBeNull();
    expect((await credentials({ HOME: home, DRVS_URL: 'http://127.0.0.1:3000/' })).token).toBe('secret');
  });

  test('without any of them the user is told how to get one', async () => {
    await expect(credentials({ HOME: '/nonexistent' })).rejects.toMatchObject({ code: 'NotSignedIn' });
  });

  test('a damaged file is named, not ignored', async () => {
    const env = { DRVS_CONFIG: join(home, 'damaged.json') };
    await writeFile(configPath(env), '{');
    await expect(readConfig(env)).rejects.toMatchObject({ code: 'ConfigDamaged' });
  });
});
