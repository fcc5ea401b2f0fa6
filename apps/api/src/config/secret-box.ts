import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { link, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DrvsError } from '@drvs/contracts';

const SECRET_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Seals what the database must not hold in the open: AES-256-GCM under the installation's secret.
 * Sealed bytes are `nonce (12) | tag (16) | ciphertext`. `context` is authenticated with them (for instance
 * `drvm/<id>`), so that a sealed value copied to another row does not open there.
 */
export class SecretBox {
  readonly #key: Buffer;

  constructor(key: Uint8Array) {
    if (key.length !== SECRET_BYTES)
      throw new RangeError(`the secret has ${key.length} bytes, not ${SECRET_BYTES}`);
    this.#key = Buffer.from(key);
  }

  seal(plain: Uint8Array, context: string): Uint8Array<ArrayBuffer> {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce).setAAD(Buffer.from(context));
    const sealed = Buffer.concat([cipher.update(plain), cipher.final()]);
    return new Uint8Array(Buffer.concat([nonce, cipher.getAuthTag(), sealed]));
  }

  /** @throws DrvsError Internal when the value was sealed with another secret or for another context. */
  open(sealed: Uint8Array, context: string): Buffer {
    try {
      const nonce = sealed.subarray(0, NONCE_BYTES);
      const tag = sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES);
      const decipher = createDecipheriv('aes-256-gcm', this.#key, nonce, { authTagLength: TAG_BYTES })
        .setAAD(Buffer.from(context))
        .setAuthTag(tag);
      return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()]);
    } catch (cause) {
      throw new DrvsError(
        'Internal',
        `a sealed value of ${context} does not open with this installation's secret`,
        {
          hint: 'The secret file was replaced, or the database comes from another installation: restore the secret file.',
          cause,
        },
      );
    }
  }

  /** Reads the secret file, or makes it (mode 0600) when there is none. */
  static async fromFile(path: string): Promise<SecretBox> {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    try {
      await stat(path);
    } catch {
      // Written aside and linked: another process starting at the same moment sees a whole file or none.
      const draft = `${path}.${randomBytes(6).toString('hex')}`;
      await writeFile(draft, randomBytes(SECRET_BYTES), { mode: 0o600, flag: 'wx' });
      await link(draft, path).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      });
      await rm(draft);
    }
    const key = await readFile(path);
    if (key.length !== SECRET_BYTES) {
      throw new DrvsError(
        'InvalidInput',
        `${path} holds ${key.length} bytes; the secret has ${SECRET_BYTES}`,
        {
          hint: 'Restore the file from a backup: what was sealed with it cannot be read without it.',
        },
      );
    }
    return new SecretBox(key);
  }
}
