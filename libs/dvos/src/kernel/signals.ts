/**
 * Signals by Linux's numbers (signal(7)), and what a process that does not catch them does. Guests cannot catch signals
 * yet, so the default action is the only one.
 */
export type SignalAction = 'terminate' | 'ignore' | 'stop' | 'continue';

export interface Signal {
  readonly name: string;
  readonly number: number;
  readonly action: SignalAction;
}

const TABLE: readonly [name: string, number: number, action: SignalAction][] = [
  ['SIGHUP', 1, 'terminate'],
  ['SIGINT', 2, 'terminate'],
  ['SIGQUIT', 3, 'terminate'],
  ['SIGILL', 4, 'terminate'],
  ['SIGTRAP', 5, 'terminate'],
  ['SIGABRT', 6, 'terminate'],
  ['SIGBUS', 7, 'terminate'],
  ['SIGFPE', 8, 'terminate'],
  ['SIGKILL', 9, 'terminate'],
  ['SIGUSR1', 10, 'terminate'],
  ['SIGSEGV', 11, 'terminate'],
  ['SIGUSR2', 12, 'terminate'],
  ['SIGPIPE', 13, 'terminate'],
  ['SIGALRM', 14, 'terminate'],
  ['SIGTERM', 15, 'terminate'],
  ['SIGSTKFLT', 16, 'terminate'],
  ['SIGCHLD', 17, 'ignore'],
  ['SIGCONT', 18, 'continue'],
  ['SIGSTOP', 19, 'stop'],
  ['SIGTSTP', 20, 'stop'],
  ['SIGTTIN', 21, 'stop'],
  ['SIGTTOU', 22, 'stop'],
  ['SIGURG', 23, 'ignore'],
  ['SIGXCPU', 24, 'terminate'],
  ['SIGXFSZ', 25, 'terminate'],
  ['SIGVTALRM', 26, 'terminate'],
  ['SIGPROF', 27, 'terminate'],
  ['SIGWINCH', 28, 'ignore'],
  ['SIGIO', 29, 'terminate'],
  ['SIGPWR', 30, 'terminate'],
  ['SIGSYS', 31, 'terminate'],
];

export const SIGNALS: readonly Signal[] = TABLE.map(([name, number, action]) => ({ name, number, action }));

export const SIGILL = 4;
export const SIGABRT = 6;
export const SIGFPE = 8;
export const SIGKILL = 9;
export const SIGSEGV = 11;
export const SIGTERM = 15;

const byNumber = new Map(SIGNALS.map((signal) => [signal.number, signal]));
const byName = new Map(SIGNALS.map((signal) => [signal.name, signal]));

export function signalByNumber(number: number): Signal | undefined {
  return byNumber.get(number);
}

/** `TERM`, `SIGTERM`, `sigterm` or `15`. */
export function signalNamed(text: string): Signal | undefined {
  if (/^\d{1,3}$/.test(text)) return byNumber.get(Number(text));
  const name = text.toUpperCase();
  return byName.get(name.startsWith('SIG') ? name : `SIG${name}`);
}

/** How a shell shows a death by signal. */
export function exitCodeOfSignal(number: number): number {
  return 128 + number;
}
