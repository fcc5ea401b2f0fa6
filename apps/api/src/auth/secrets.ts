import { hash, randomBytes, timingSafeEqual } from 'node:crypto';

/** 32 random bytes in base64url: nobody guesses them, so a plain SHA-256 of them may be kept. */
export function newSecret(): string {
  return randomBytes(32).toString('base64url');
}

export function sha256(text: string): string {
  return hash('sha256', text);
}

/** Takes the same time whatever the texts are. */
export function sameSecret(one: string, other: string): boolean {
  return timingSafeEqual(hash('sha256', one, 'buffer'), hash('sha256', other, 'buffer'));
}

/** Whether this is the secret that the SHA-256 was kept of; it takes the same time whichever byte differs. */
export function isSecretOf(kept: string, secret: string): boolean {
  const bytes = Buffer.from(kept, 'hex');
  const shown = hash('sha256', secret, 'buffer');
  return bytes.length === shown.length && timingSafeEqual(bytes, shown);
}

const API_TOKEN = /^drvs_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/;

/** `drvs_<id>_<secret>`: the id finds the row, the secret proves it. */
export function newApiToken(): { id: string; token: string; hash: string } {
  const id = randomBytes(8).toString('hex');
  const secret = newSecret();
  return { id, token: `drvs_${id}_${secret}`, hash: sha256(secret) };
}

export function parseApiToken(token: string): { id: string; secret: string } | null {
  const match = API_TOKEN.exec(token);
  return match?.[1] && match[2] ? { id: match[1], secret: match[2] } : null;
}

/** One-time token with which an agent enrols; the row is found by its SHA-256. */
export function newEnrolmentToken(): { token: string; hash: string } {
  const token = `drvs-enrol-${newSecret()}`;
  return { token, hash: sha256(token) };
}

/** A first password that people can type: 20 characters of 32 kinds, 100 bits. */
export function newPassword(): string {
  const alphabet = 'abcdefghijkmnpqrstuvwxyz23456789';
  const text = [...randomBytes(20)].map((byte) => alphabet[byte % alphabet.length]).join('');
  return text.replace(/(.{5})(?=.)/g, '$1-');
}
