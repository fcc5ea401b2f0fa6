/**
 * What a figure has been of late, the recent counting most (as MOSIX and Unix keep load): a sample of age t weighs
 * e^(-t / time constant). Samples may come at any times; one stands for the time since the one before it.
 */
export class DecayingAverage {
  readonly #timeConstantMs: number;
  #value = 0;
  #atMs: number | null = null;

  constructor(timeConstantMs: number) {
    if (!(timeConstantMs > 0)) throw new RangeError(`a time constant of ${timeConstantMs} ms`);
    this.#timeConstantMs = timeConstantMs;
  }

  /** 0 before the first sample. */
  get value(): number {
    return this.#value;
  }

  add(sample: number, nowMs: number): void {
    const elapsedMs = this.#atMs === null ? Number.POSITIVE_INFINITY : Math.max(0, nowMs - this.#atMs);
    this.#atMs = nowMs;
    this.#value += (sample - this.#value) * -Math.expm1(-elapsedMs / this.#timeConstantMs);
  }
}
