import { expect, test } from '@jest/globals';
import { parseConfig } from './config.js';

const MINIMAL = { DRVS_API_URL: 'http://127.0.0.1:3000/', DRVS_NODE_NAME: 'node1', DRVS_DATA: '/data' };

test('the environment is enough, and flags win over it', () => {
  const config = parseConfig(['--offer-cpu', '0.5', '--node-name', 'node2'], {
    ...MINIMAL,
    DRVS_OFFER_CPU: '2',
  });
  expect(config).toMatchObject({ apiUrl: 'http://127.0.0.1:3000', nodeName: 'node2', command: 'run' });
  expect(config.offer).toEqual({
    cpu: 0.5,
    memoryMiB: undefined,
    diskGiB: undefined,
    networkMbps: undefined,
  });
  expect(config.ports).toEqual({ first: 20_000, last: 29_999 });
});

test('devices are declared by name and path', () => {
  const DRVS_DEVICES = 'sensor=/run/sensor  printer=/dev/usb/lp=0';
  expect(parseConfig([], { ...MINIMAL, DRVS_DEVICES }).devices).toEqual([
    { name: 'sensor', path: '/run/sensor' },
    { name: 'printer', path: '/dev/usb/lp=0' },
  ]);
});

test.each([
  [{ DRVS_API_URL: 'ftp://x' }, 'DRVS_API_URL'],
  [{ DRVS_NODE_NAME: 'Node_1' }, 'DRVS_NODE_NAME'],
  [{ DRVS_OFFER_CPU: 'many' }, 'DRVS_OFFER_CPU'],
  [{ DRVS_PORTS: '9-1' }, 'DRVS_PORTS'],
  [{ DRVS_DATA: '' }, 'DRVS_DATA'],
  [{ DRVS_DEVICES: 'sensor=run/sensor' }, 'DRVS_DEVICES'],
])('a setting that is not usable is named: %j', (change, field) => {
  expect(() => parseConfig([], { ...MINIMAL, ...change })).toThrow(field);
});

test('an unknown flag or command is refused', () => {
  expect(() => parseConfig(['--offer-cpus', '1'], MINIMAL)).toThrow('--offer-cpus');
  expect(() => parseConfig(['dance'], MINIMAL)).toThrow('dance');
});
