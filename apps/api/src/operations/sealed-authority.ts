import { DrvsError } from '@drvs/contracts';
import type { SecretBox } from '../config/secret-box.js';
import type { Drvm } from '../gen/client.js';
import type { Authority } from './authority.js';

const contextOf = (drvmId: string): string => `drvm/${drvmId}`;

/** The columns in which a DRVM's authority is kept: its key is sealed for this DRVM. */
export function sealedAuthority(secrets: SecretBox, drvmId: string, { certificate, privateKey }: Authority) {
  return {
    authorityCertificate: certificate,
    authorityKey: secrets.seal(privateKey, contextOf(drvmId)),
  };
}

/** @throws DrvsError StateConflict when it has none yet */
export function openAuthority(
  secrets: SecretBox,
  { id, authorityCertificate, authorityKey }: Pick<Drvm, 'id' | 'authorityCertificate' | 'authorityKey'>,
): Authority {
  if (authorityCertificate !== null && authorityKey !== null) {
    return { certificate: authorityCertificate, privateKey: secrets.open(authorityKey, contextOf(id)) };
  }
  throw new DrvsError('StateConflict', 'The DRVM has no authority: its creation never came that far', {
    hint: 'Delete it and create it again.',
  });
}
