import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createLog } from '../log.js';
import { DeviceAccess } from './device-access.js';

const UID = process.getuid!();

let folder: string;
let sensor: { key: string; name: string; path: string };
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'drvs-access-'));
  sensor = { key: 'character:sensor', name: 'sensor', path: join(folder, 'sensor') };
  execFileSync('mkfifo', [sensor.path]);
  chmodSync(sensor.path, 0o040);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const opened = (found: Record<string, string> = { [sensor.key]: sensor.path }): DeviceAccess =>
  new DeviceAccess(join(folder, 'devices.json'), (key) => found[key] ?? null, createLog('silent', 'node1'));
const mode = (): number => statSync(sensor.path).mode & 0o777;

test('a container’s own user may open the device while the DRVM has it, also over a restart of the agent', () => {
  expect(opened().grant('fisica', [sensor], UID)).toEqual([sensor]);
  expect(mode()).toBe(0o640);
  expect(opened().grant('fisica', [sensor], UID)).toEqual([sensor]);
  opened().withdraw('quimica', []);
  opened().withdraw('fisica', [sensor]);
  expect(mode()).toBe(0o640);
  opened().withdraw('fisica', []);
  expect(mode()).toBe(0o040);
});

test('what the file was at first counts, where one DRVM gets it before another has let go of it', () => {
  const access = opened();
  access.grant('fisica', [sensor], UID);
  access.grant('quimica', [sensor], UID);
  access.withdraw('fisica', []);
  expect(mode()).toBe(0o640);
  access.withdraw('quimica', []);
  expect(mode()).toBe(0o040);
});

test('a device that this agent has not found, or not there, is not given', () => {
  expect(opened({}).grant('fisica', [sensor], UID)).toEqual([]);
  expect(opened({ [sensor.key]: '/dev/mem' }).grant('fisica', [sensor], UID)).toEqual([]);
  const file = join(folder, 'secret');
  writeFileSync(file, 'x');
  const lie = { ...sensor, path: file };
  expect(opened({ [sensor.key]: file }).grant('fisica', [lie], UID)).toEqual([]);
  rmSync(sensor.path);
  expect(opened().grant('fisica', [sensor], UID)).toEqual([]);
  expect(opened().grant('fisica', [sensor], null)).toEqual([]);
});

test('a file that is gone, or another’s by now, is left alone', () => {
  const access = opened();
  access.grant('fisica', [sensor], UID);
  execFileSync('mkfifo', [join(folder, 'other')]);
  execFileSync('mv', [join(folder, 'other'), sensor.path]);
  chmodSync(sensor.path, 0o600);
  access.withdraw('fisica', []);
  expect(mode()).toBe(0o600);
  access.grant('fisica', [sensor], UID);
  rmSync(sensor.path);
  access.withdraw('fisica', []);
});
