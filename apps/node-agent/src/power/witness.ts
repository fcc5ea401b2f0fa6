import { connect } from 'node:net';
import type { WitnessMark } from '@drvs/contracts';

/** What error of connect(2) says about the other side. */
const MET: Readonly<Record<string, WitnessMark['met']>> = {
  ECONNREFUSED: 'refused',
  ECONNRESET: 'refused',
  ETIMEDOUT: 'timed-out',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EHOSTDOWN: 'unreachable',
  ENOTFOUND: 'unreachable',
  EAI_AGAIN: 'unreachable',
};

/** Tries to open a connection and closes it at once; not a byte is sent. */
export function witness(target: { host: string; port: number }, timeoutMs: number): Promise<WitnessMark> {
  return new Promise((resolve) => {
    const socket = connect(target);
    const done = (met: WitnessMark['met']): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ ...target, met });
    };
    const timer = setTimeout(() => done('timed-out'), timeoutMs);
    socket.on('connect', () => done('connected'));
    socket.on('error', (error: NodeJS.ErrnoException) => done(MET[error.code ?? ''] ?? 'unreachable'));
  });
}
