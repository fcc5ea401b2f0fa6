import { createHmac } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { isPublicAddress } from './public-address.js';
import { MAX_ATTEMPTS, pauseMs } from './retry.js';
import { newWebhookSecret, signedHeaders } from './signature.js';

describe('the signature of a delivery', () => {
  test('is the one of the published example', () => {
    const headers = signedHeaders(
      'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
      'msg_p5jXN8AQM9LWM0D4loKWxJek',
      1_614_265_330_000,
      '{"test": 2432232314}',
    );
    expect(headers['webhook-signature']).toBe('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
    expect(headers['webhook-timestamp']).toBe('1614265330');
  });

  test('with a secret of one’s own is made with its characters', () => {
    const { 'webhook-signature': signature } = signedHeaders('my own', '1', 0, 'x');
    expect(signature).toBe(`v1,${createHmac('sha256', 'my own').update('1.0.x').digest('base64')}`);
  });

  test('has another secret each time', () => {
    expect(newWebhookSecret()).not.toBe(newWebhookSecret());
    expect(newWebhookSecret()).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
  });
});

describe('the pause after a failed attempt', () => {
  test('doubles up to three hours, and varies by half', () => {
    expect([1, 2, 3].map((failures) => pauseMs(failures, 0))).toEqual([500, 1_000, 2_000]);
    expect(pauseMs(2, 0.999_999)).toBe(2_000);
    expect(pauseMs(MAX_ATTEMPTS, 1)).toBe(3 * 3_600_000);
    expect(pauseMs(1_000_000, 1)).toBe(3 * 3_600_000);
  });
});

describe('a public address', () => {
  test.each([
    '127.0.0.1',
    '10.1.2.3',
    '172.31.255.255',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '0.0.0.0',
    '224.0.0.1',
    '255.255.255.255',
    '::1',
    '::',
    'fe80::1',
    'fe80::1%eth0',
    'fd00::1',
    'ff02::1',
    '::ffff:127.0.0.1',
    '::ffff:a00:1',
    '::127.0.0.1',
    '64:ff9b::7f00:1',
    '2002:7f00:1::',
    'localhost',
    '',
  ])('%s is none', (address) => expect(isPublicAddress(address)).toBe(false));
  test.each([
    '93.184.215.14',
    '172.32.0.1',
    '2606:2800:21f:cb07:6820:80da:af6b:8b2c',
    '::ffff:93.184.215.14',
  ])('%s is one', (address) => expect(isPublicAddress(address)).toBe(true));
});
