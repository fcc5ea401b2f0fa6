import 'reflect-metadata';
import { webcrypto, X509Certificate } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import * as x509 from '@peculiar/x509';
import { createAuthority, signMember } from './authority.js';

const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

async function request(name = 'CN=anything'): Promise<x509.Pkcs10CertificateRequest> {
  const keys = await webcrypto.subtle.generateKey(EC, true, ['sign', 'verify']);
  return x509.Pkcs10CertificateRequestGenerator.create({
    name,
    keys,
    signingAlgorithm: EC,
  });
}

describe('the authority of a DRVM', () => {
  test('signs a certificate that names DRVM and index, whatever the request asked to be called', async () => {
    const authority = await createAuthority('d1');
    const pem = await signMember(authority, 'd1', 2, (await request('CN=drvs:other:0')).toString('pem'));
    const certificate = new X509Certificate(pem);
    expect(certificate.subject).toBe('CN=drvs:d1:2');
    expect(certificate.ca).toBe(false);
    const issuer = new X509Certificate(authority.certificate);
    expect(issuer.ca).toBe(true);
    expect(certificate.checkIssued(issuer)).toBe(true);
    expect(certificate.verify(issuer.publicKey)).toBe(true);
  });

  test('another DRVM does not accept it', async () => {
    const [ours, theirs] = await Promise.all([createAuthority('d1'), createAuthority('d2')]);
    const certificate = new X509Certificate(
      await signMember(ours, 'd1', 0, (await request()).toString('pem')),
    );
    expect(certificate.verify(new X509Certificate(theirs.certificate).publicKey)).toBe(false);
  });

  test('refuses a request that is not signed by the key it carries, and one that is no request', async () => {
    const authority = await createAuthority('d1');
    const bytes = new Uint8Array((await request()).rawData);
    bytes[bytes.length - 1] ^= 1;
    const forged = `-----BEGIN CERTIFICATE REQUEST-----\n${Buffer.from(bytes).toString('base64')}\n-----END CERTIFICATE REQUEST-----`;
    await expect(signMember(authority, 'd1', 0, forged)).rejects.toMatchObject({ code: 'InvalidInput' });
    await expect(signMember(authority, 'd1', 0, 'nonsense')).rejects.toMatchObject({ code: 'InvalidInput' });
  });
});
