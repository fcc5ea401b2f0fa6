import { DrvsError, EnrolmentAnswer, ERROR_CODES, type ErrorCode, type NodeInventory } from '@drvs/contracts';

const ANSWER_MAX_BYTES = 64 * 1024;
const TIMEOUT_MS = 15_000;

/** Refused for good: another try would be refused too. */
export class EnrolmentRefused extends DrvsError {}

/**
 * Trades the one-time token for this node's credential.
 *
 * @throws EnrolmentRefused when the API says no; any other error means that it could not be asked (try again).
 */
export async function enrol(
  apiUrl: string,
  token: string,
  name: string,
  inventory: NodeInventory,
  signal: AbortSignal,
): Promise<EnrolmentAnswer> {
  const response = await fetch(`${apiUrl}/agent/v1/enrol`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token, name, inventory }),
    signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    redirect: 'error',
  });
  const text = (await response.text()).slice(0, ANSWER_MAX_BYTES);
  if (response.ok) return EnrolmentAnswer.parse(JSON.parse(text));
  const problem = parseProblem(text);
  const message = `the API refused to enrol node ${name} (${response.status}): ${problem.detail ?? text.slice(0, 300)}`;
  // Overloaded or not up yet: not an answer to the question.
  if (response.status >= 500 || response.status === 429) throw new Error(message);
  const code = problem.code && problem.code in ERROR_CODES ? (problem.code as ErrorCode) : 'NotAuthenticated';
  throw new EnrolmentRefused(code, message, {
    hint:
      problem.hint ?? 'Make a new one-time token with `drvs node enroll-token` and start the agent with it.',
  });
}

function parseProblem(text: string): { detail?: string; hint?: string; code?: string } {
  try {
    const problem = JSON.parse(text) as Record<string, unknown>;
    const word = (name: string) =>
      typeof problem[name] === 'string' ? (problem[name] as string) : undefined;
    return { detail: word('detail') ?? word('message'), hint: word('hint'), code: word('code') };
  } catch {
    return {};
  }
}
