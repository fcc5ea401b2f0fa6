import type { FastifyHelmetOptions } from '@fastify/helmet';

/**
 * One policy for the API and for the portal behind it. The portal's framework writes small inline scripts and its
 * components inline styles, so these are allowed; nothing may come from, or go to, another origin.
 */
export const SECURITY_HEADERS: FastifyHelmetOptions = {
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      defaultSrc: ["'self'"],
      scriptSrc: ["'self'", "'unsafe-inline'"],
      styleSrc: ["'self'", "'unsafe-inline'"],
      imgSrc: ["'self'", 'data:', 'blob:'],
      fontSrc: ["'self'", 'data:'],
      connectSrc: ["'self'"],
      workerSrc: ["'self'", 'blob:'],
      objectSrc: ["'none'"],
      baseUri: ["'self'"],
      formAction: ["'self'"],
      frameAncestors: ["'none'"],
    },
  },
  crossOriginEmbedderPolicy: false,
  referrerPolicy: { policy: 'same-origin' },
  xFrameOptions: { action: 'deny' },
  // Browsers heed it over TLS only; there it is right.
  strictTransportSecurity: { maxAge: 15_552_000, includeSubDomains: false },
};
