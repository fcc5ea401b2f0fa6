/** Progress on standard error: one line that is drawn over on a terminal, nothing at all elsewhere. */
export interface ProgressTarget {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
}

const BAR_CELLS = 24;
/** Redrawn at most this often: a bar that flickers costs more than it tells. */
const REDRAW_MS = 80;

export class Progress {
  #drawnAt = 0;
  #isShown = false;
  readonly #isTty: boolean;

  constructor(
    readonly target: ProgressTarget,
    readonly now: () => number = () => performance.now(),
  ) {
    this.#isTty = target.isTTY === true;
  }

  /** @param fraction 0..1, or null where the end is not known */
  show(text: string, fraction: number | null = null): void {
    if (!this.#isTty) return;
    const now = this.now();
    if (this.#isShown && now - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = now;
    const line = fraction === null ? text : `${bar(fraction)} ${text}`;
    const columns = Math.max(20, (this.target.columns ?? 80) - 1);
    this.target.write(`\r\x1b[K${line.length > columns ? `${line.slice(0, columns - 1)}…` : line}`);
    this.#isShown = true;
  }

  clear(): void {
    if (this.#isShown) this.target.write('\r\x1b[K');
    this.#isShown = false;
  }
}

export function bar(fraction: number): string {
  const full = Math.round(Math.min(1, Math.max(0, fraction)) * BAR_CELLS);
  return `[${'#'.repeat(full)}${'.'.repeat(BAR_CELLS - full)}] ${String(Math.floor(Math.min(1, Math.max(0, fraction)) * 100)).padStart(3)}%`;
}
