import type { Rejection } from './plan.js';
import { type RejectionRule, wordsFor } from './reasons.js';

/** Rejections listed one by one at most, of each rule; the rest is counted. */
const LISTED_PER_RULE = 20;

const NEVER: ReadonlySet<RejectionRule> = new Set([
  'too-large',
  'not-eligible',
  'no-power-control',
  'pinned-process',
  'no-other-slice',
  'moved-on',
]);

/** What a plan decided against, and why: bounded, in the order in which it was found. */
export class Rejections {
  readonly #list: Rejection[] = [];
  readonly #counts = new Map<RejectionRule, number>();

  add(what: string, rule: RejectionRule, more = '', data: Rejection['data'] = {}): void {
    const count = (this.#counts.get(rule) ?? 0) + 1;
    this.#counts.set(rule, count);
    if (count > LISTED_PER_RULE) return;
    const reason = more === '' ? wordsFor(rule) : `${wordsFor(rule)}: ${more}`;
    this.#list.push({ what, rule, reason, when: NEVER.has(rule) ? 'never' : 'not-now', data });
  }

  list(): Rejection[] {
    const rest = [...this.#counts].filter(([, count]) => count > LISTED_PER_RULE);
    return [
      ...this.#list,
      ...rest.map(([rule, count]) => ({
        what: `${count - LISTED_PER_RULE} more`,
        rule,
        reason: wordsFor(rule),
        when: NEVER.has(rule) ? ('never' as const) : ('not-now' as const),
        data: { count: count - LISTED_PER_RULE },
      })),
    ];
  }
}
