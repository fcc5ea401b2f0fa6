import { GroupOrder } from '../groups/group-frame.js';
import { compareViews, type GroupMemberId, type ViewId, viewName } from '../groups/member-id.js';
import type { GroupEffect, GroupView } from '../groups/process-group.js';
import type { World } from './world.js';

interface SentMessage {
  readonly name: string;
  readonly sender: GroupMemberId;
  readonly view: string;
  readonly order: GroupOrder;
  /** Its place among the ordered messages of its sender in the view; -1 for an unordered one. */
  readonly place: number;
  /** By sender: how many ordered messages of the view its sender had been given. */
  readonly givenBefore: ReadonlyMap<GroupMemberId, number>;
}

/** What a member has been given in a view. */
interface Given {
  readonly names: Set<string>;
  /** By sender: how many ordered ones. */
  readonly ordered: Map<GroupMemberId, number>;
  /** Totally ordered ones, with their places. */
  readonly total: Map<string, number>;
  /** By other member: the highest of its places that has been met here. */
  readonly met: Map<GroupMemberId, number>;
  next: { view: string; together: readonly GroupMemberId[] } | null;
}

interface ViewRecord {
  readonly members: readonly GroupMemberId[];
  readonly given: Map<GroupMemberId, Given>;
  readonly sentBy: Map<GroupMemberId, SentMessage[]>;
  /** Safe messages that somebody was given in time. */
  readonly safe: Set<string>;
  state: number | null;
}

/**
 * Watches all members of one process group, and says when one of its promises does not hold: views in one order and
 * of one content, what was sent and nothing else, once, in its view; FIFO, causal, total; one's own; the same for all
 * who go on together; safe messages at all; equal states in equal views.
 */
export class MulticastAudit {
  readonly #views = new Map<string, ViewRecord>();
  readonly #messages = new Map<string, SentMessage>();
  /** By member: the view that it is in. */
  readonly #current = new Map<GroupMemberId, ViewId>();
  readonly #orderedSent = new Map<string, number>();

  constructor(
    readonly world: World,
    readonly group: number,
  ) {}

  /** `name`: what was multicast under the id of a `sent`, or what a `deliver` brought; `state`: of the member then. */
  observe(member: GroupMemberId, effect: GroupEffect, name: string, state: number): void {
    switch (effect.kind) {
      case 'sent':
        this.#sent(member, effect.view, name);
        return;
      case 'deliver':
        this.#delivered(member, effect, name);
        return;
      case 'view':
        this.#entered(member, effect.view, state);
        return;
      case 'left':
        this.#ends(member, null);
        this.#current.delete(member);
        return;
      default:
    }
  }

  crashed(member: GroupMemberId): void {
    this.#current.delete(member);
  }

  /** Its order, before it is handed in. */
  asked(sender: GroupMemberId, name: string, order: GroupOrder): void {
    this.#messages.set(name, {
      name,
      sender,
      order,
      view: '',
      place: -1,
      givenBefore: new Map(),
    });
  }

  #sent(member: GroupMemberId, viewId: ViewId, name: string): void {
    const view = viewName(viewId);
    const record = this.#views.get(view);
    const { order } = this.#messages.get(name)!;
    const key = `${view}:${member}`;
    let place = -1;
    if (order !== GroupOrder.Unordered) {
      place = this.#orderedSent.get(key) ?? 0;
      this.#orderedSent.set(key, place + 1);
    }
    const given = record?.given.get(member);
    if (record === undefined || given === undefined) {
      this.#violation(`${member} sends in ${view}, where it is not`);
      return;
    }
    const message = { name, sender: member, view, order, place, givenBefore: new Map(given.ordered) };
    this.#messages.set(name, message);
    const sent = record.sentBy.get(member) ?? [];
    record.sentBy.set(member, sent);
    sent.push(message);
  }

  #delivered(member: GroupMemberId, effect: GroupEffect & { kind: 'deliver' }, name: string): void {
    this.world.count('deliveries');
    const view = viewName(effect.view);
    const record = this.#views.get(view);
    const message = this.#messages.get(name);
    const given = record?.given.get(member);
    const current = this.#current.get(member);
    if (record === undefined || given === undefined || !current || viewName(current) !== view) {
      this.#violation(`${member} is given ${name} in ${view}, where it is not`);
      return;
    }
    if (message?.view !== view || message.sender !== effect.from || message.order !== effect.order) {
      this.#violation(`sending view: ${member} is given ${name} in ${view}; it was sent in ${message?.view}`);
      return;
    }
    if (given.names.has(name)) this.#violation(`duplicate: ${member} is given ${name} again`);
    given.names.add(name);
    if (message.order === GroupOrder.Unordered) return;
    const before = given.ordered.get(message.sender) ?? 0;
    if (before !== message.place) {
      this.#violation(
        `FIFO: ${member} is given number ${message.place} of ${message.sender} after ${before}`,
      );
    }
    given.ordered.set(message.sender, before + 1);
    if (message.order >= GroupOrder.Causal) this.#checkCausal(member, given, message);
    if (message.order >= GroupOrder.Total) this.#checkTotal(member, record, given, name);
    if (message.order !== GroupOrder.Safe || effect.isLate) return;
    record.safe.add(name);
    for (const [other, theirs] of record.given) {
      if (theirs.next !== null && !theirs.names.has(name))
        this.#violation(`safe: ${name} is given to ${member}; ${other} has left ${view} without it`);
    }
  }

  #checkCausal(member: GroupMemberId, given: Given, { name, givenBefore }: SentMessage): void {
    for (const [sender, count] of givenBefore) {
      if ((given.ordered.get(sender) ?? 0) < count) {
        this.#violation(`causal: ${member} is given ${name} before what its sender knew of ${sender}`);
        return;
      }
    }
  }

  /** Any two members were given what both were given in one order. */
  #checkTotal(member: GroupMemberId, { given: all }: ViewRecord, given: Given, name: string): void {
    given.total.set(name, given.total.size);
    for (const [other, theirs] of all) {
      if (other === member) continue;
      const place = theirs.total.get(name);
      if (place === undefined) continue;
      if (place < (given.met.get(other) ?? -1)) {
        this.#violation(`total order: ${member} and ${other} differ about ${name}`);
        return;
      }
      given.met.set(other, place);
      theirs.met.set(member, Math.max(theirs.met.get(member) ?? -1, given.total.size - 1));
    }
  }

  #entered(member: GroupMemberId, { id, members, together }: GroupView, state: number): void {
    this.world.count('views');
    const view = viewName(id);
    const before = this.#current.get(member);
    if (before !== undefined && compareViews(id, before) <= 0) {
      this.#violation(`${member} goes from view ${viewName(before)} back to ${view}`);
    }
    if (!members.includes(member)) this.#violation(`${member} is in view ${view}, which is without it`);
    let record = this.#views.get(view);
    if (record === undefined) {
      record = { members, given: new Map(), sentBy: new Map(), safe: new Set(), state: null };
      this.#views.set(view, record);
    }
    if (record.members.join() !== members.join()) this.#violation(`view ${view} is two different ones`);
    if (record.state !== null && record.state !== state)
      this.#violation(`state: ${member} comes into view ${view} with another state than others`);
    record.state = state;
    this.#ends(member, { view, together });
    this.#current.set(member, id);
    const nothing: Given = {
      names: new Set(),
      ordered: new Map(),
      total: new Map(),
      met: new Map(),
      next: null,
    };
    record.given.set(member, nothing);
  }

  /** What must hold when a member's time in a view is over. */
  #ends(member: GroupMemberId, next: { view: string; together: readonly GroupMemberId[] } | null): void {
    const current = this.#current.get(member);
    if (current === undefined) return;
    const view = viewName(current);
    const record = this.#views.get(view)!;
    const given = record.given.get(member)!;
    for (const { name } of record.sentBy.get(member) ?? []) {
      if (!given.names.has(name)) this.#violation(`self-delivery: ${member} was never given its own ${name}`);
    }
    if (next === null) return;
    given.next = next;
    for (const name of record.safe) {
      if (!given.names.has(name)) this.#violation(`safe: ${name} of view ${view} was not given to ${member}`);
    }
    for (const [other, theirs] of record.given) {
      if (other === member || theirs.next?.view !== next.view) continue;
      const isMutual = next.together.includes(other) && theirs.next.together.includes(member);
      // Who waited for a state in between comes from nowhere.
      if (!isMutual) continue;
      if (next.together.join() !== theirs.next.together.join())
        this.#violation(`${member} and ${other} differ about who came along into ${next.view}`);
      if (theirs.names.size === given.names.size && [...given.names].every((name) => theirs.names.has(name)))
        continue;
      this.#violation(
        `virtual synchrony: ${member} was given ${given.names.size} messages in ${view}, ${other} ${theirs.names.size} or others`,
      );
    }
  }

  #violation(what: string): void {
    this.world.violation(`process group ${this.group}: ${what}`);
  }
}
