import { createPrivateKey, createPublicKey, generateKeyPairSync, webcrypto } from 'node:crypto';

/** A new ECDSA P-256 private key, PKCS#8 PEM. */
export function newKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** The name by which containers of a DRVM know each other (common name of their certificates). */
const containerName = (drvmId: string, index: number): string => `drvs:${drvmId}:${index}`;

/**
 * A certificate request (PKCS#10, RFC 2986) for the key, PEM, signed with ECDSA and SHA-256.
 *
 * @param keyPem PKCS#8 PEM.
 */
export async function certificateRequest(keyPem: string, drvmId: string, index: number): Promise<string> {
  // Loaded when first needed: only preparing a DRVM uses it, and it is a large part of an idle agent's memory.
  await import('reflect-metadata');
  const { Pkcs10CertificateRequestGenerator } = await import('@peculiar/x509');
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const { subtle } = webcrypto;
  const privateDer = createPrivateKey(keyPem).export({ type: 'pkcs8', format: 'der' });
  const publicDer = createPublicKey(keyPem).export({ type: 'spki', format: 'der' });
  const keys = {
    privateKey: await subtle.importKey('pkcs8', new Uint8Array(privateDer), algorithm, true, ['sign']),
    publicKey: await subtle.importKey('spki', new Uint8Array(publicDer), algorithm, true, ['verify']),
  };
  const request = await Pkcs10CertificateRequestGenerator.create(
    {
      name: [{ CN: [containerName(drvmId, index)] }],
      keys,
      signingAlgorithm: algorithm,
    },
    webcrypto,
  );
  return request.toString('pem');
}
