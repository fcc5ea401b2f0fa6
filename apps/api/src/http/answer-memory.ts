import type { Moment } from '../database/moment.js';

/** Characters of all answers kept, and of the longest that is. */
const CHARACTERS_MAX = 8 * 1024 * 1024;
const LONGEST = 256 * 1024;

export interface KeptAnswer {
  readonly text: string;
  readonly contentType: string;
  readonly etag: string | undefined;
  /** Milliseconds of `performance.now()`: all that it is made of had been read by then. */
  readonly madeAt: number;
}

/**
 * Answers of one moment of the ledger. When the ledger has moved on, all go. Pure.
 *
 * An answer is given once somebody who asks for the moment after it was made finds the one that was before it was made:
 * then no change can have been committed in between, and whatever it was made of was read at that very moment.
 */
export class AnswerMemory {
  #snapshot = '';
  readonly #answers = new Map<string, KeptAnswer>();
  #characters = 0;

  constructor(
    private readonly charactersMax = CHARACTERS_MAX,
    private readonly longest = LONGEST,
  ) {}

  /** What is answered to this question at this moment, where it is known. */
  at({ snapshot, askedAt }: Moment, question: string): KeptAnswer | undefined {
    if (snapshot !== this.#snapshot) return undefined;
    const answer = this.#answers.get(question);
    return answer !== undefined && answer.madeAt < askedAt ? answer : undefined;
  }

  /**
   * Kept while there is room; what is not kept is made again.
   * @param before the moment that was asked for before anything was read for the answer
   */
  keep(before: Moment, question: string, answer: KeptAnswer): void {
    if (before.snapshot !== this.#snapshot) {
      this.#snapshot = before.snapshot;
      this.#answers.clear();
      this.#characters = 0;
    }
    const characters = question.length + answer.text.length;
    if (characters > this.longest || this.#characters + characters > this.charactersMax) return;
    if (this.#answers.has(question)) return;
    this.#answers.set(question, answer);
    this.#characters += characters;
  }
}
