import type { FastifyInstance } from 'fastify';
import { isOwnPath } from './own-paths.js';

/** The portal's framework writes small inline scripts and its components inline styles, so these are allowed. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'self'",
  "script-src 'self' 'unsafe-inline'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data: blob:",
  "font-src 'self' data:",
  "connect-src 'self'",
  "worker-src 'self' blob:",
  "object-src 'none'",
  "base-uri 'self'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join(';');

/**
 * Nothing may come from, or go to, another origin, be framed, or be taken for what it does not say it is (OWASP Secure
 * Headers). The same for every answer of a kind, so each kind is written once.
 */
const OF_ALL = {
  'cross-origin-resource-policy': 'same-origin',
  // Browsers heed it over TLS only; there it is right.
  'strict-transport-security': 'max-age=15552000',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
} as const;

/** What the portal shows. */
const OF_PAGES = {
  ...OF_ALL,
  'content-security-policy': CONTENT_SECURITY_POLICY,
  'cross-origin-opener-policy': 'same-origin',
  'origin-agent-cluster': '?1',
  'referrer-policy': 'same-origin',
  'x-dns-prefetch-control': 'off',
  'x-download-options': 'noopen',
  'x-permitted-cross-domain-policies': 'none',
  'x-xss-protection': '0',
} as const;

/** What the API answers is data: should a browser take some of it for a page, that page may do nothing at all. */
const OF_DATA = {
  ...OF_ALL,
  'content-security-policy': "default-src 'none';frame-ancestors 'none'",
} as const;

export function sendSecurityHeaders(fastify: FastifyInstance): void {
  fastify.addHook('onRequest', (request, reply, done) => {
    void reply.headers(isOwnPath(request.url) ? OF_DATA : OF_PAGES);
    done();
  });
}
