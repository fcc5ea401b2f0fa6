import { z } from 'zod';
import { driverFailed, type PowerDriver, unread } from './power-driver.js';
import { type ProgramOutcome, runProgram } from './run-program.js';

export const IpmiSettings = z.strictObject({
  /** Of the management controller. */
  host: z.string().regex(/^[A-Za-z0-9:._-]{1,253}$/, 'is a name or an address'),
  port: z.int().min(1).max(65_535).default(623),
  user: z.string().regex(/^[\x21-\x7e]{1,16}$/, 'has at most 16 printable characters'),
  /** What the session asks of the controller: operator may switch, administrator is seldom needed. */
  privilege: z.enum(['user', 'operator', 'administrator']).default('operator'),
  /** 17 is HMAC-SHA256 with AES; 3 what old controllers offer. */
  cipherSuite: z.int().min(1).max(17).optional(),
  program: z.string().min(1).max(4096).default('ipmitool'),
});
export type IpmiSettings = z.infer<typeof IpmiSettings>;
export const IpmiSecret = z.strictObject({ password: z.string().min(1).max(20) });

const CALL_MS = 20_000;
/** Seconds that ipmitool waits for one answer, and how often it asks. */
const WAIT_S = 2;
const TRIES = 3;

/**
 * IPMI 2.0 over LAN (RMCP+) by `ipmitool`. The password is handed over in the environment (`-E`), where only root and
 * the same user can read it, and never among the arguments, which everybody can.
 */
export function ipmi(settings: IpmiSettings, password: string | undefined): PowerDriver {
  const { host, port, user, privilege, cipherSuite, program } = settings;
  const chassis = (words: readonly string[], signal: AbortSignal): Promise<ProgramOutcome> =>
    runProgram(
      [
        program,
        ...['-I', 'lanplus', '-H', host, '-p', String(port), '-U', user, '-E'],
        ...['-L', privilege.toUpperCase(), '-N', String(WAIT_S), '-R', String(TRIES)],
        ...(cipherSuite === undefined ? [] : ['-C', String(cipherSuite)]),
        ...words,
      ],
      { IPMITOOL_PASSWORD: password ?? '', IPMI_PASSWORD: password ?? '' },
      CALL_MS,
      signal,
    );
  const power = async (word: 'on' | 'off' | 'soft' | 'cycle', signal: AbortSignal): Promise<void> => {
    const outcome = await chassis(['chassis', 'power', word], signal);
    if (outcome.code === 0) return;
    throw driverFailed('ipmi', `power ${word} at ${host}:${port}: ${wordsOf(outcome)}`, hintFor(outcome));
  };
  return {
    name: 'ipmi',
    canCut: true,
    async status(signal) {
      const outcome = await chassis(['chassis', 'power', 'status'], signal);
      if (outcome.code !== 0) return unread(`${wordsOf(outcome)} (${hintFor(outcome)})`);
      const said = /power is (on|off)/i.exec(outcome.stdout)?.[1]?.toLowerCase();
      if (said !== 'on' && said !== 'off')
        return unread(`the controller said: ${outcome.stdout.trim().slice(0, 200)}`);
      return { power: said, watts: await watts(chassis, signal), detail: `chassis power is ${said}` };
    },
    on: (signal) => power('on', signal),
    off: (how, signal) => power(how === 'gently' ? 'soft' : 'off', signal),
    cycle: (signal) => power('cycle', signal),
  };
}

/** Many controllers have no meter (DCMI), which is no fault. */
async function watts(
  chassis: (words: readonly string[], signal: AbortSignal) => Promise<ProgramOutcome>,
  signal: AbortSignal,
): Promise<number | null> {
  const { code, stdout } = await chassis(['dcmi', 'power', 'reading'], signal);
  if (code !== 0) return null;
  const read = /instantaneous power reading:\s*(\d+)\s*watts/i.exec(stdout)?.[1];
  return read === undefined ? null : Number(read);
}

const wordsOf = ({ failure, stderr, stdout, code }: ProgramOutcome): string =>
  failure ?? ((stderr.trim() || stdout.trim()).split('\n').at(-1)?.slice(0, 300) || `exit code ${code}`);

function hintFor({ failure, stderr }: ProgramOutcome): string {
  if (failure?.includes('ENOENT'))
    return 'Install ipmitool where the API runs (Debian: apt-get install ipmitool).';
  if (/RAKP 2|unauthorized name|HMAC/i.test(stderr))
    return 'Look at the user, the password and the privilege level.';
  if (/cipher/i.test(stderr)) return 'Try another cipher suite: cipherSuite 3 for old controllers.';
  return 'Is the management controller reached from the API, and IPMI over LAN allowed on it?';
}
