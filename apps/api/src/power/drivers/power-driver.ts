import type { PowerDriverName, PowerReadingView } from '@drvs/contracts';
import { DrvsError } from '@drvs/contracts';

/** What a driver reads. `unknown`: it cannot read, or nobody answered. */
export type PowerReading = Pick<PowerReadingView, 'power' | 'watts' | 'detail'>;

/**
 * Switches one node. Each call ends within `CALL_WITHIN_MS`, also when nothing answers; done twice it has the effect
 * of once.
 */
export interface PowerDriver {
  readonly name: PowerDriverName;
  /** It can take the power away by itself, and read that it is gone. Without, a lost node cannot be fenced by it. */
  readonly canCut: boolean;
  status(signal: AbortSignal): Promise<PowerReading>;
  on(signal: AbortSignal): Promise<void>;
  /** @param how `gently`: let the operating system end; `at-once`: take the power away */
  off(how: 'gently' | 'at-once', signal: AbortSignal): Promise<void>;
  cycle(signal: AbortSignal): Promise<void>;
}

export const CALL_WITHIN_MS = 30_000;

/** The reading of one that cannot be read: a fault of the meter is no statement about the node. */
export const unread = (detail: string): PowerReading => ({ power: 'unknown', watts: null, detail });

export const driverFailed = (
  driver: PowerDriverName,
  message: string,
  hint: string,
  cause?: unknown,
): DrvsError => new DrvsError('PowerFailed', `${driver}: ${message}`, { hint, cause });
