import { createHmac, randomBytes } from 'node:crypto';

/**
 * How a receiver knows that a delivery is ours, whole and fresh: the scheme of Standard Webhooks 1.0. The headers are
 * `webhook-id` (the same at each attempt), `webhook-timestamp` (Unix seconds of this attempt) and `webhook-signature`:
 * `v1,` and the base64 of HMAC-SHA256 over `<id>.<timestamp>.<body>`.
 */
const PREFIX = 'whsec_';
const SECRET_BYTES = 32;

export function newWebhookSecret(): string {
  return PREFIX + randomBytes(SECRET_BYTES).toString('base64');
}

/** The key of a secret: the bytes behind `whsec_`, or those of the text itself where it is somebody's own. */
function keyOf(secret: string): Buffer {
  return secret.startsWith(PREFIX)
    ? Buffer.from(secret.slice(PREFIX.length), 'base64')
    : Buffer.from(secret, 'utf8');
}

/** @param at milliseconds since 1970 */
export function signedHeaders(secret: string, id: string, at: number, body: string): Record<string, string> {
  const timestamp = String(Math.floor(at / 1_000));
  const signature = createHmac('sha256', keyOf(secret)).update(`${id}.${timestamp}.${body}`).digest('base64');
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` };
}
