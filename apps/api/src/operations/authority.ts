import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { DrvsError } from '@drvs/contracts';
import * as x509 from '@peculiar/x509';

/**
 * The authority of one DRVM: a key (ECDSA P-256) and a self-signed certificate (RFC 5280) that only this DRVM's
 * containers trust. It signs one certificate per container, so that a container can prove to its peers which DRVM
 * and which index it is, and to nobody else. A container makes its own key on its node and sends a request
 * (PKCS #10, RFC 2986); the key never travels.
 */
export interface Authority {
  /** PEM. */
  certificate: string;
  /** PKCS #8, DER. To be kept sealed. */
  privateKey: Uint8Array;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
/** Nodes' clocks may differ by this much without a fresh certificate being refused as not valid yet. */
const CLOCK_SKEW_MS = 60 * 60 * 1000;
/** A DRVM lives shorter than this; certificates are signed anew each time it is started. */
const VALIDITY_MS = 10 * 365 * 24 * 60 * 60 * 1000;

x509.cryptoProvider.set(webcrypto);

/** The name that a container's certificate bears, and that its peers check. */
export const memberName = (drvmId: string, index: number): string => `drvs:${drvmId}:${index}`;

const validity = (now: Date) => ({
  notBefore: new Date(now.getTime() - CLOCK_SKEW_MS),
  notAfter: new Date(now.getTime() + VALIDITY_MS),
});

export async function createAuthority(drvmId: string, now = new Date()): Promise<Authority> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=drvs:${drvmId}:authority`,
    keys,
    signingAlgorithm: ALGORITHM,
    ...validity(now),
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const privateKey = new Uint8Array(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  return { certificate: certificate.toString('pem'), privateKey };
}

/**
 * Signs a container's certificate. The subject is set here from what the database says; whatever the request asks to
 * be called is ignored. The request must be signed by the key that it carries (proof of possession).
 *
 * @throws DrvsError InvalidInput
 */
export async function signMember(
  authority: Authority,
  drvmId: string,
  index: number,
  certificateRequest: string,
  now = new Date(),
): Promise<string> {
  const request = await verifiedRequest(certificateRequest);
  const issuer = new x509.X509Certificate(authority.certificate);
  const signingKey = await webcrypto.subtle.importKey('pkcs8', authority.privateKey, ALGORITHM, false, [
    'sign',
  ]);
  const certificate = await x509.X509CertificateGenerator.create({
    subject: `CN=${memberName(drvmId, index)}`,
    issuer: issuer.subjectName,
    publicKey: request.publicKey,
    signingKey,
    signingAlgorithm: ALGORITHM,
    ...validity(now),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([
        x509.ExtendedKeyUsage.serverAuth,
        x509.ExtendedKeyUsage.clientAuth,
      ]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return certificate.toString('pem');
}

async function verifiedRequest(pem: string): Promise<x509.Pkcs10CertificateRequest> {
  let request: x509.Pkcs10CertificateRequest;
  try {
    request = new x509.Pkcs10CertificateRequest(pem);
  } catch (error) {
    throw new DrvsError('InvalidInput', 'The certificate request of the node cannot be read', {
      hint: 'Is the agent of the same version as the API?',
      cause: error,
    });
  }
  if (!(await request.verify().catch(() => false))) {
    throw new DrvsError('InvalidInput', 'The certificate request is not signed by the key that it carries');
  }
  return request;
}
