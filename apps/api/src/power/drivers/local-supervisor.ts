import { connect } from 'node:net';
import { LOCAL_POWER_LINE_MAX_BYTES, LocalPowerAnswer, type LocalPowerRequest } from '@drvs/contracts';
import { CALL_WITHIN_MS, driverFailed, type PowerDriver, unread } from './power-driver.js';

/** Containers get half a minute to end; the supervisor answers when they have. */
const ANSWER_WITHIN_MS = 2 * CALL_WITHIN_MS;

/**
 * Asks the supervisor of a stack on this machine.
 * @throws Error when nobody listens, or what it answers is not understood
 */
export function askSupervisor(
  path: string,
  request: LocalPowerRequest,
  signal: AbortSignal,
): Promise<LocalPowerAnswer> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      path,
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_WITHIN_MS)]),
    });
    let text = '';
    socket.setEncoding('utf8');
    socket.on('connect', () => socket.write(`${JSON.stringify(request)}\n`));
    socket.on('data', (chunk: string) => {
      text += chunk;
      if (text.length > LOCAL_POWER_LINE_MAX_BYTES) socket.destroy(new Error('the answer is too long'));
    });
    socket.on('error', reject);
    socket.on('end', () => {
      try {
        resolve(LocalPowerAnswer.parse(JSON.parse(text)));
      } catch (error) {
        reject(new Error('the supervisor gave no answer that is understood', { cause: error }));
      }
    });
  });
}

/** Switches an agent that stands for a node on this machine: its process and its containers end, and start again. */
export function localSupervisor(path: string | null, node: string): PowerDriver {
  const ask = async (what: 'status' | 'on' | 'off', signal: AbortSignal) => {
    if (path === null)
      throw driverFailed('local', 'no supervisor of a local stack is known', 'It is for nodes of `drvs up`.');
    let answer: LocalPowerAnswer;
    try {
      answer = await askSupervisor(path, { do: what, node }, signal);
    } catch (error) {
      throw driverFailed(
        'local',
        `the supervisor does not answer: ${(error as Error).message}`,
        'See `drvs status`.',
        error,
      );
    }
    if ('power' in answer) return answer;
    throw driverFailed(
      'local',
      'error' in answer ? answer.error : 'an answer to another question',
      'See `drvs status`.',
    );
  };
  return {
    name: 'local',
    canCut: true,
    status: (signal) =>
      ask('status', signal).then(
        ({ power, detail }) => ({ power, watts: null, detail }),
        (error: Error) => unread(error.message),
      ),
    on: async (signal) => {
      await ask('on', signal);
    },
    off: async (_how, signal) => {
      await ask('off', signal);
    },
    async cycle(signal) {
      await ask('off', signal);
      await ask('on', signal);
    },
  };
}
