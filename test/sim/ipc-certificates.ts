import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const provider = webcrypto as unknown as typeof globalThis.crypto;

export interface TestAuthority {
  /** PEM. */
  readonly certificate: string;
  /** A key and a certificate for `name`, PEM; `addresses`: of the host, for peers that look at them. */
  issue(name: string, addresses?: readonly string[]): Promise<{ key: string; certificate: string }>;
}

/** An authority of one DRVM, with keys made on the spot. */
export async function makeAuthority(name = 'drvs test authority'): Promise<TestAuthority> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const [notBefore, notAfter] = [new Date(Date.now() - 60_000), new Date(Date.now() + 86_400_000)];
  const root = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: '01',
      name: `CN=${name}`,
      notBefore,
      notAfter,
      signingAlgorithm: algorithm,
      keys,
      extensions: [new x509.BasicConstraintsExtension(true, 1, true)],
    },
    provider,
  );
  let serial = 2;
  return {
    certificate: root.toString('pem'),
    async issue(subject, addresses = []) {
      const own = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
      const certificate = await x509.X509CertificateGenerator.create(
        {
          serialNumber: (serial++).toString(16).padStart(2, '0'),
          subject: `CN=${subject}`,
          issuer: root.subject,
          notBefore,
          notAfter,
          signingAlgorithm: algorithm,
          publicKey: own.publicKey,
          signingKey: keys.privateKey,
          extensions:
            addresses.length === 0
              ? []
              : [new x509.SubjectAlternativeNameExtension(addresses.map((value) => ({ type: 'ip', value })))],
        },
        provider,
      );
      const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', own.privateKey)).toString('base64');
      return {
        key: `-----BEGIN PRIVATE KEY-----\n${key.match(/.{1,64}/g)!.join('\n')}\n-----END PRIVATE KEY-----\n`,
        certificate: certificate.toString('pem'),
      };
    },
  };
}
