import {
  ANY,
  type Endpoint,
  formatEndpoint,
  GRANT_READ,
  GRANT_WRITE,
  type GrantMemory,
  IpcKernel,
  Message,
  makeEndpoint,
  NOTIFY_MESSAGE,
  OK,
  type Owner,
  PEER_PRIVILEGES,
  PM,
  SERVER_PRIVILEGES,
  SUSPENDED,
  SYSTASK,
  statusName,
  VFS,
} from '@drvs/drvmm-core';

/** mulberry32: small, and the same everywhere. */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const MEMORY_BYTES = 140_000;
/** This part of a guest's memory never changes; the rest takes writes. */
const CONSTANT_BYTES = 70_000;
/** Kinds of frames, as on the wire. */
const NOTIFY_FRAME = 3;
const RETURNED_FRAME = 15;
const REQUEST = 1;
const REPLY = 2;
/** Word 5 of a request that PM hands on to VFS. */
const HAND_ON = 7;

type Doing = 'nothing' | 'send' | 'sendrec' | 'receive';

class Guest {
  isAlive = true;
  doing: Doing = 'nothing';
  partner: Endpoint = ANY;
  /** The pair's number of the present request. */
  number = 0;
  /** Callers that wait for this guest's reply -> the number of their request. */
  readonly owes = new Map<Endpoint, number>();
  memory: Uint8Array = new Uint8Array(MEMORY_BYTES);
  grant = 0;
  epoch = 1;
  isMoving = false;
  /** Its present request is one that PM hands on. */
  isHandedOn = false;

  constructor(
    readonly endpoint: Endpoint,
    public node: number,
  ) {
    this.memory.fill(endpoint & 0x7f, 0, CONSTANT_BYTES);
  }
}

interface Migration {
  guest: Guest;
  from: number;
  to: number;
  stage: 'frozen' | 'extracted' | 'installed' | 'committed';
  state: Uint8Array;
  memory: Uint8Array;
  isActivated: boolean;
  isReleased: boolean;
}

/**
 * Kernels of one DRVM joined by links that keep their own order and nothing else, with guests that send, call,
 * receive, answer, move, are rolled back and die as a seed says. Every delivery and every end of a call is checked.
 */
export class IpcWorld {
  readonly random: () => number;
  readonly kernels: IpcKernel[] = [];
  readonly guests: Guest[] = [];
  readonly wires = new Map<string, Uint8Array[]>();
  readonly migrations: Migration[] = [];
  readonly sent = new Map<string, number>();
  readonly received = new Map<string, number>();
  /** Requests that a home server keeps for later. */
  readonly deferred: { server: Endpoint; caller: Endpoint; number: number }[] = [];
  readonly notifiedAt = new Map<string, number>();
  readonly noticedAt = new Map<string, number>();
  readonly trace: string[] = [];
  time = 0;
  isDraining = false;
  counts = { messages: 0, replies: 0, migrations: 0, rollbacks: 0, deaths: 0, crashes: 0, copies: 0 };

  constructor(
    readonly seed: number,
    readonly nodes: number,
    guests: number,
  ) {
    this.random = randomFrom(seed);
    for (let index = 0; index < nodes; index++) this.kernels.push(this.makeKernel(index));
    for (let a = 0; a < nodes; a++) for (let b = 0; b < nodes; b++) if (a !== b) this.kernels[a]!.peerUp(b);
    for (const server of [PM, VFS])
      this.kernels[0]!.bind(server, 'server', this.homeServer(server), SERVER_PRIVILEGES);
    for (let i = 0; i < guests; i++) this.spawn(30 + i, 1);
  }

  note(text: string): void {
    if (this.trace.push(`${this.time} ${text}`) > 2_000) this.trace.shift();
  }

  fail(text: string): never {
    throw new Error(`seed ${this.seed}: ${text}`);
  }

  below(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  makeKernel(index: number): IpcKernel {
    const kernel = new IpcKernel({
      index,
      nowMs: () => this.time,
      network: {
        send: (peer, frame) => {
          if (peer === index) this.fail(`container ${index} sends to itself`);
          const key = `${index}>${peer}`;
          if (!this.wires.has(key)) this.wires.set(key, []);
          this.wires.get(key)!.push(frame);
        },
      },
    });
    kernel.bind(
      SYSTASK(index),
      'server',
      {
        onMessage: (self, message) => {
          if (message.source !== PM) this.fail(`SYSTASK hears from ${formatEndpoint(message.source)}`);
          this.arrived(PM, self, message.words[2]!);
        },
      },
      SERVER_PRIVILEGES,
    );
    return kernel;
  }

  homeServer(server: Endpoint): Owner {
    return {
      onMessage: (self, message, data) => {
        if (self !== server) this.fail('a message for somebody else');
        const { source } = message;
        const number = message.words[2]!;
        if (message.words[5] !== HAND_ON || server === PM) this.arrived(source, server, number);
        else this.handedOn(source, number);
        this.checkData(message, data);
        // PM hands some on: VFS answers them.
        if (server === PM && message.words[5] === HAND_ON) {
          if (this.kernels[0]!.relay(PM, source, VFS, message, data) !== OK)
            this.fail('a request is not handed on');
          return;
        }
        if (this.random() < 0.5) {
          message.words[1] = REPLY;
          this.kernels[0]!.reply(server, source, message);
        } else {
          this.deferred.push({ server, caller: source, number });
        }
      },
      onCancelled: (_self, caller) => {
        const at = this.deferred.findIndex((d) => d.server === server && d.caller === caller);
        if (at < 0) this.fail('a request is cancelled that nobody has');
        this.deferred.splice(at, 1);
      },
    };
  }

  spawn(slot: number, generation: number): void {
    const guest = new Guest(makeEndpoint(slot, generation), this.below(this.nodes));
    this.kernels[0]!.setLocation(guest.endpoint, guest.node, 1);
    this.kernels[guest.node]!.bind(guest.endpoint, 'process', this.owner(guest, guest.node), PEER_PRIVILEGES);
    guest.grant = this.kernels[guest.node]!.grantDirect(
      guest.endpoint,
      VFS,
      { offset: 0, length: MEMORY_BYTES, bytes: () => guest.memory },
      GRANT_READ | GRANT_WRITE,
    );
    this.guests.push(guest);
  }

  owner(guest: Guest, node: number, memory?: () => Uint8Array): Owner {
    return {
      onComplete: (self, status, message, data) => {
        if (self !== guest.endpoint) this.fail('the end of somebody else');
        if (!guest.isAlive) this.fail(`${formatEndpoint(self)} hears after its death`);
        if (guest.node !== node || (guest.isMoving && !this.isThawing(guest))) {
          this.fail(`${formatEndpoint(self)} hears at ${node} while it is at ${guest.node} or moves`);
        }
        this.ended(guest, status, message, data);
      },
      onCancelled: (_self, caller) => {
        if (!guest.owes.delete(caller)) this.fail('a request is cancelled that was not open');
      },
      grantMemory: (_self, offset, length): GrantMemory => ({
        offset,
        length,
        bytes: memory ?? (() => guest.memory),
      }),
    };
  }

  thawing: Guest | null = null;
  isThawing(guest: Guest): boolean {
    return this.thawing === guest;
  }

  // ── what must hold ───────────────────────────────────────────────────────────────────────────────────────────

  nextNumber(from: Endpoint, to: Endpoint): number {
    const key = `${from}>${to}`;
    const number = (this.sent.get(key) ?? 0) + 1;
    this.sent.set(key, number);
    return number;
  }

  /** In order and at most once: numbers of a pair only grow. */
  arrived(from: Endpoint, to: Endpoint, number: number): void {
    this.counts.messages++;
    const key = `${from}>${to}`;
    const last = this.received.get(key) ?? 0;
    if (number <= last) {
      this.fail(`${formatEndpoint(to)} gets message ${number} of ${formatEndpoint(from)} after ${last}`);
    }
    this.received.set(key, number);
  }

  /** What PM has handed on to VFS comes there once, after it came to PM. */
  handedOn(from: Endpoint, number: number): void {
    const key = `${from}>${PM}>${VFS}`;
    const last = this.received.get(key) ?? 0;
    if (number <= last || number > (this.received.get(`${from}>${PM}`) ?? 0))
      this.fail(`request ${number} of ${formatEndpoint(from)} is handed on after ${last}`);
    this.received.set(key, number);
  }

  checkData(message: Message, data: Uint8Array): void {
    if (data.length !== message.words[4])
      this.fail(`${data.length} bytes ride instead of ${message.words[4]}`);
    if (data.length > 0 && (data[0] !== (message.words[2]! & 255) || data.at(-1) !== data[0])) {
      this.fail('other bytes ride than were sent');
    }
  }

  ended(guest: Guest, status: number, message: Message, data: Uint8Array): void {
    const { doing, partner, number, endpoint } = guest;
    this.note(
      `${formatEndpoint(endpoint)} ${doing} with ${formatEndpoint(partner)} ends: ${statusName(status)}`,
    );
    guest.doing = 'nothing';
    if (doing === 'nothing') this.fail(`${formatEndpoint(endpoint)} hears of a call that it does not make`);
    if (status !== OK) return;
    if (doing === 'receive') {
      this.took(guest, message, data);
    } else {
      // The message was taken, once; the receiver may be about to see it.
      this.mustHaveArrived.push({ from: endpoint, to: partner, number });
      if (doing === 'sendrec') this.checkReply(guest, message);
    }
  }

  readonly mustHaveArrived: { from: Endpoint; to: Endpoint; number: number }[] = [];
  checkArrived(): void {
    for (const { from, to, number } of this.mustHaveArrived.splice(0)) {
      if ((this.received.get(`${from}>${to}`) ?? 0) < number) {
        this.fail(
          `message ${number} of ${formatEndpoint(from)} to ${formatEndpoint(to)} ended well, never arrived`,
        );
      }
    }
  }

  checkReply(guest: Guest, message: Message): void {
    this.counts.replies++;
    const answers = guest.isHandedOn ? VFS : guest.partner;
    if (message.source !== answers || message.words[2] !== guest.number || message.type !== REPLY) {
      this.fail(
        `${formatEndpoint(guest.endpoint)} gets a reply to ${message.words[2]}, asked ${guest.number}`,
      );
    }
  }

  took(guest: Guest, message: Message, data: Uint8Array): void {
    const { source } = message;
    if (message.type === NOTIFY_MESSAGE) {
      this.noticedAt.set(`${source}>${guest.endpoint}`, this.time);
      return;
    }
    this.note(`${formatEndpoint(guest.endpoint)} takes ${message.words[2]} of ${formatEndpoint(source)}`);
    this.arrived(source, guest.endpoint, message.words[2]!);
    this.checkData(message, data);
    if (message.words[3] === 1) guest.owes.set(source, message.words[2]!);
  }

  // ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────

  act(guest: Guest): void {
    if (!guest.isAlive || guest.isMoving || guest.doing !== 'nothing') return;
    const kernel = this.kernels[guest.node]!;
    const { endpoint } = guest;
    if (guest.owes.size > 0 && (this.isDraining || this.random() < 0.6)) {
      const [caller, number] = [...guest.owes][0]!;
      guest.owes.delete(caller);
      const reply = new Message();
      reply.words[1] = REPLY;
      reply.words[2] = number;
      const status = kernel.reply(endpoint, caller, reply);
      this.note(
        `${formatEndpoint(endpoint)}@${guest.node} replies ${number} to ${formatEndpoint(caller)}: ${statusName(status)}`,
      );
      return;
    }
    const dice = this.random();
    if (this.isDraining || dice < 0.4) {
      const from = this.isDraining || this.random() < 0.7 ? ANY : this.anyGuest(guest).endpoint;
      const message = new Message();
      guest.doing = 'receive';
      guest.partner = from;
      const tries = !this.isDraining && this.random() < 0.2;
      const status = tries
        ? kernel.tryReceive(endpoint, from, message)
        : kernel.receive(endpoint, from, message);
      if (status === SUSPENDED) return;
      guest.doing = 'nothing';
      if (status === OK) this.took(guest, message, kernel.lastReplyData(endpoint));
      return;
    }
    const isCall = this.random() < 0.6;
    const to = dice < 0.6 ? (this.random() < 0.5 ? PM : VFS) : this.anyGuest(guest).endpoint;
    const expectsReply = isCall || to === PM || to === VFS;
    this.call(guest, to, expectsReply);
  }

  call(guest: Guest, to: Endpoint, expectsReply: boolean): void {
    const kernel = this.kernels[guest.node]!;
    const { endpoint } = guest;
    if (guest.owes.has(to)) return; // It would be taken as the reply.
    const message = new Message();
    const number = this.nextNumber(endpoint, to);
    const data = this.random() < 0.3 ? new Uint8Array(1 + this.below(300)).fill(number) : new Uint8Array(0);
    message.words[1] = REQUEST;
    message.words[2] = number;
    message.words[3] = expectsReply ? 1 : 0;
    message.words[4] = data.length;
    guest.isHandedOn = expectsReply && to === PM && this.random() < 0.4;
    message.words[5] = guest.isHandedOn ? HAND_ON : 0;
    guest.doing = expectsReply ? 'sendrec' : 'send';
    guest.partner = to;
    guest.number = number;
    const tries = !this.isDraining && this.random() < 0.2;
    const status = expectsReply
      ? kernel.sendrec(endpoint, to, message, data)
      : tries
        ? kernel.trySend(endpoint, to, message, data)
        : kernel.send(endpoint, to, message, data);
    if (status === SUSPENDED && this.random() < 0.1) kernel.limit(endpoint, this.below(200));
    this.note(
      `${formatEndpoint(endpoint)}@${guest.node} ${guest.doing} ${number} to ${formatEndpoint(to)}: ${statusName(status)}`,
    );
    if (status === SUSPENDED) return;
    guest.doing = 'nothing';
    if (status === OK && expectsReply) this.checkReply(guest, message);
  }

  anyGuest(but: Guest): Guest {
    for (;;) {
      const other = this.guests[this.below(this.guests.length)]!;
      if (other !== but) return other;
    }
  }

  deliver(): boolean {
    const full = [...this.wires].filter(([, queue]) => queue.length > 0);
    if (full.length === 0) return false;
    const [key, queue] = full[this.below(full.length)]!;
    const [from, to] = key.split('>').map(Number) as [number, number];
    const frame = queue.shift()!;
    const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
    this.note(
      `  ${key} kind ${frame[0]} ${formatEndpoint(view.getInt32(4, true))} -> ${formatEndpoint(view.getInt32(8, true))} ` +
        `#${view.getUint32(12, true)} a ${view.getInt32(20, true)} b ${view.getUint32(24, true)} c ${view.getUint32(28, true)}`,
    );
    this.kernels[to]!.deliver(from, frame);
    return true;
  }

  answerDeferred(): void {
    if (this.deferred.length === 0) return;
    const [{ server, caller, number }] = this.deferred.splice(this.below(this.deferred.length), 1) as [
      (typeof this.deferred)[0],
    ];
    const reply = new Message();
    reply.words[1] = REPLY;
    reply.words[2] = number;
    this.kernels[0]!.reply(server, caller, reply);
  }

  notify(): void {
    const guest = this.guests[this.below(this.guests.length)]!;
    const source = this.random() < 0.5 ? PM : VFS;
    if (this.kernels[0]!.notify(source, guest.endpoint) === OK && guest.isAlive) {
      const key = `${source}>${guest.endpoint}`;
      // Told within the call when the guest lives at home and was waiting.
      if (this.noticedAt.get(key) !== this.time) this.notifiedAt.set(key, this.time);
    }
  }

  post(): void {
    const task = SYSTASK(this.below(this.nodes));
    const message = new Message();
    message.words[2] = this.nextNumber(PM, task);
    this.kernels[0]!.post(PM, task, message);
  }

  copy(): void {
    const guest = this.guests[this.below(this.guests.length)]!;
    const kernel = this.kernels[0]!;
    this.counts.copies++;
    if (this.random() < 0.5) {
      const into = new Uint8Array(CONSTANT_BYTES - 10);
      const done = (status: number) => {
        if (status === OK && into.some((b) => b !== (guest.endpoint & 0x7f))) this.fail('other bytes copied');
        if (status !== OK && guest.isAlive && !this.isCrashing)
          this.fail(`copy from a living guest: ${statusName(status)}`);
      };
      const status = kernel.safecopyFrom(VFS, guest.endpoint, guest.grant, 5, into, done);
      if (status !== SUSPENDED) done(status);
      return;
    }
    const at = CONSTANT_BYTES + this.below(MEMORY_BYTES - CONSTANT_BYTES - 16);
    const value = 1 + this.below(255);
    const done = (status: number) => {
      if (status === OK && guest.isAlive) this.writes.push({ guest, at, value, time: this.time });
    };
    for (let i = this.writes.length - 1; i >= 0; i--) {
      const write = this.writes[i]!;
      if (write.guest === guest && Math.abs(write.at - at) < 16) this.writes.splice(i, 1);
    }
    this.unsettledWrites.push({ guest, at });
    const status = kernel.safecopyTo(
      VFS,
      guest.endpoint,
      guest.grant,
      at,
      new Uint8Array(16).fill(value),
      done,
    );
    if (status !== SUSPENDED) done(status);
  }

  readonly writes: { guest: Guest; at: number; value: number; time: number }[] = [];
  readonly unsettledWrites: { guest: Guest; at: number }[] = [];

  cancelSome(): void {
    const guest = this.guests[this.below(this.guests.length)]!;
    if (guest.isAlive && !guest.isMoving && guest.doing !== 'nothing')
      this.kernels[guest.node]!.cancel(guest.endpoint);
  }

  // ── moves and deaths ─────────────────────────────────────────────────────────────────────────────────────────

  startMigration(): void {
    const guest = this.guests[this.below(this.guests.length)]!;
    if (!guest.isAlive || guest.isMoving) return;
    const to = this.below(this.nodes);
    if (to === guest.node) return;
    if (this.kernels[guest.node]!.freeze(guest.endpoint) !== OK) return;
    guest.isMoving = true;
    this.note(`freeze ${formatEndpoint(guest.endpoint)} at ${guest.node} for ${to}`);
    this.migrations.push({
      guest,
      from: guest.node,
      to,
      stage: 'frozen',
      state: new Uint8Array(0),
      memory: guest.memory,
      isActivated: false,
      isReleased: false,
    });
  }

  stepMigration(m: Migration): void {
    const { guest, from, to } = m;
    const { endpoint } = guest;
    const source = this.kernels[from]!;
    if (m.stage !== 'committed' && this.random() < 0.15) {
      this.rollBack(m);
    } else if (m.stage === 'frozen') {
      m.state = source.extract(endpoint);
      m.memory = guest.memory.slice();
      m.stage = 'extracted';
    } else if (m.stage === 'extracted') {
      const memory = m.memory;
      this.kernels[to]!.install(
        endpoint,
        this.owner(guest, to, () => memory),
        PEER_PRIVILEGES,
        m.state,
      );
      m.stage = 'installed';
    } else if (m.stage === 'installed') {
      this.commit(m);
    } else if (!m.isActivated && (m.isReleased || this.random() < 0.5)) {
      this.activate(m);
    } else if (!m.isReleased) {
      this.note(`release ${formatEndpoint(endpoint)} at ${from}`);
      m.isReleased = true;
      source.commitAway(endpoint, to, guest.epoch);
    }
    if (m.isActivated && m.isReleased) this.migrations.splice(this.migrations.indexOf(m), 1);
  }

  commit(m: Migration): void {
    const { guest, to } = m;
    guest.epoch++;
    this.note(`commit ${formatEndpoint(guest.endpoint)} to ${to} epoch ${guest.epoch}`);
    if (!this.kernels[0]!.setLocation(guest.endpoint, to, guest.epoch)) this.fail('home refuses a commit');
    m.stage = 'committed';
    this.counts.migrations++;
  }

  activate(m: Migration): void {
    const { guest, to } = m;
    this.note(`activate ${formatEndpoint(guest.endpoint)} at ${to}`);
    m.isActivated = true;
    guest.node = to;
    guest.memory = m.memory;
    this.thawing = guest;
    this.kernels[to]!.activate(guest.endpoint, guest.epoch);
    this.thawing = null;
    guest.isMoving = false;
    // Until the source has released it, it is not moved again.
    if (!m.isReleased) guest.isMoving = true;
    if (!m.isReleased) {
      m.isReleased = true;
      this.kernels[m.from]!.commitAway(guest.endpoint, to, guest.epoch);
      guest.isMoving = false;
    }
  }

  rollBack(m: Migration): void {
    const { guest, from, to } = m;
    this.note(`rollback ${formatEndpoint(guest.endpoint)} at ${from}`);
    this.counts.rollbacks++;
    this.migrations.splice(this.migrations.indexOf(m), 1);
    if (m.stage === 'installed') this.kernels[to]!.rollback(guest.endpoint);
    this.thawing = guest;
    this.kernels[from]!.rollback(guest.endpoint);
    this.thawing = null;
    guest.isMoving = false;
  }

  die(guest: Guest): void {
    if (!guest.isAlive || guest.isMoving) return;
    this.note(`${formatEndpoint(guest.endpoint)} dies at ${guest.node}`);
    this.counts.deaths++;
    guest.isAlive = false;
    this.kernels[guest.node]!.unbind(guest.endpoint);
    this.kernels[0]!.forgetLocation(guest.endpoint);
  }

  /** A link between two containers is cut for so long that both give their session up. */
  cutLink(): void {
    const a = 1 + this.below(this.nodes - 1);
    const b = 1 + this.below(this.nodes - 1);
    if (a === b) return;
    this.note(`cut ${a}-${b}`);
    this.wires.delete(`${a}>${b}`);
    this.wires.delete(`${b}>${a}`);
    const order = this.random() < 0.5 ? [a, b] : [b, a];
    this.kernels[order[0]!]!.peerLost(a + b - order[0]!);
    // What the second still sends in the old session is lost with it.
    this.kernels[order[1]!]!.peerLost(a + b - order[1]!);
    this.wires.delete(`${a}>${b}`);
    this.wires.delete(`${b}>${a}`);
    this.kernels[a]!.peerUp(b);
    this.kernels[b]!.peerUp(a);
  }

  isCrashing = false;
  /** A container dies with all that is in it, and is started anew. */
  crash(): void {
    this.isCrashing = true;
    this.crashOne();
    this.isCrashing = false;
  }

  /** A notification on its way to or through the dead container is gone with it. */
  excuseNotification(frame: Uint8Array): void {
    const isNotify = frame[0] === NOTIFY_FRAME || frame[0] === RETURNED_FRAME;
    const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
    if (isNotify) this.notifiedAt.delete(`${view.getInt32(4, true)}>${view.getInt32(8, true)}`);
  }

  crashOne(): void {
    const dead = 1 + this.below(this.nodes - 1);
    this.note(`crash ${dead}`);
    this.counts.crashes++;
    for (const [key, frames] of [...this.wires]) {
      const [from, to] = key.split('>').map(Number);
      if (from !== dead && to !== dead) continue;
      for (const frame of frames) this.excuseNotification(frame);
      this.wires.delete(key);
    }
    const lost = this.guests.filter((g) => g.isAlive && g.node === dead && !g.isMoving);
    const rescued: Migration[] = [];
    const undone: Migration[] = [];
    for (const m of [...this.migrations]) {
      if (m.from === dead) {
        m.isReleased = true;
        if (m.stage === 'installed') this.commit(m);
        if (m.stage === 'committed') rescued.push(m);
        else {
          this.migrations.splice(this.migrations.indexOf(m), 1);
          lost.push(m.guest);
        }
      } else if (m.to === dead && m.stage === 'committed') {
        this.migrations.splice(this.migrations.indexOf(m), 1);
        if (!m.isReleased) this.kernels[m.from]!.commitAway(m.guest.endpoint, dead, m.guest.epoch);
        lost.push(m.guest);
      } else if (m.to === dead) {
        if (m.stage === 'installed') m.stage = 'extracted';
        undone.push(m);
      }
    }
    for (const guest of lost) guest.isAlive = false;
    for (const kernel of this.kernels) if (kernel.index !== dead) kernel.peerLost(dead);
    for (const guest of lost) this.kernels[0]!.forgetLocation(guest.endpoint);
    for (const m of undone) this.rollBack(m);
    for (const key of [...this.wires.keys()]) if (key.endsWith(`>${dead}`)) this.wires.delete(key);
    this.received.delete(`${PM}>${SYSTASK(dead)}`);
    this.kernels[dead] = this.makeKernel(dead);
    for (const kernel of this.kernels) {
      if (kernel.index === dead) continue;
      kernel.peerUp(dead);
      this.kernels[dead]!.peerUp(kernel.index);
    }
    for (const m of rescued) {
      // A notification that only the dead container knew is gone with it.
      for (const source of [PM, VFS]) this.notifiedAt.delete(`${source}>${m.guest.endpoint}`);
      if (!m.isActivated) this.activate(m);
      const at = this.migrations.indexOf(m);
      if (at >= 0) this.migrations.splice(at, 1);
    }
  }

  // ── the run ──────────────────────────────────────────────────────────────────────────────────────────────────

  run(steps: number, faults: { deaths: boolean; cuts: boolean; crashes: boolean }): void {
    let generation = 1;
    for (let i = 0; i < steps; i++) {
      this.time++;
      const dice = this.random();
      if (dice < 0.45) this.deliver();
      else if (dice < 0.75) this.act(this.guests[this.below(this.guests.length)]!);
      else if (dice < 0.8) this.answerDeferred();
      else if (dice < 0.83) this.notify();
      else if (dice < 0.85) this.post();
      else if (dice < 0.86) this.copy();
      else if (dice < 0.88) this.cancelSome();
      else if (dice < 0.91) this.startMigration();
      else if (dice < 0.985) {
        if (this.migrations.length > 0)
          this.stepMigration(this.migrations[this.below(this.migrations.length)]!);
      } else if (dice < 0.99 && faults.deaths) {
        const guest = this.guests[this.below(this.guests.length)]!;
        this.die(guest);
        if (!guest.isAlive && this.random() < 0.5) {
          const at = this.guests.indexOf(guest);
          this.guests.splice(at, 1);
          this.spawn(30 + at + 100 * generation, ++generation);
        }
      } else if (dice < 0.995 && faults.cuts) this.cutLink();
      else if (dice < 0.997 && faults.crashes) this.crash();
      for (const kernel of this.kernels) if (kernel.nextDeadlineMs <= this.time) kernel.expire();
      this.checkArrived();
    }
    this.drain();
  }

  /** Everything that can end must end. */
  drain(): void {
    this.isDraining = true;
    while (this.migrations.length > 0) this.stepMigration(this.migrations[0]!);
    for (let round = 0; round < 2_000; round++) {
      this.time++;
      while (this.deliver());
      while (this.deferred.length > 0) this.answerDeferred();
      for (const guest of this.guests) {
        this.act(guest);
        const waitsForOne = guest.partner !== ANY || guest.owes.size > 0;
        if (guest.isAlive && guest.doing === 'receive' && waitsForOne) {
          this.kernels[guest.node]!.cancel(guest.endpoint);
        }
      }
      while (this.deliver());
      this.checkArrived();
      const isBusy = this.guests.some((g) => g.isAlive && g.doing === 'nothing');
      if (isBusy || this.deferred.length > 0) continue;
      const waiting = this.guests.filter((g) => g.isAlive && (g.doing === 'send' || g.doing === 'sendrec'));
      if (waiting.length === 0) {
        this.checkEnd();
        return;
      }
      // The network is quiet. Whoever waits still must wait for one who itself waits: a circle over containers.
      for (const guest of waiting) {
        const partner = this.guests.find((g) => g.endpoint === guest.partner);
        if (partner === undefined || !partner.isAlive || partner.doing === 'receive') {
          this.fail(
            `${formatEndpoint(guest.endpoint)}@${guest.node} hangs in ${guest.doing} ${guest.number} to ` +
              `${formatEndpoint(guest.partner)} (${partner?.isAlive ? `alive@${partner.node}` : 'dead'})`,
          );
        }
      }
      this.kernels[waiting[0]!.node]!.cancel(waiting[0]!.endpoint);
    }
    this.fail('it never comes to rest');
  }

  checkEnd(): void {
    for (const guest of this.guests) {
      if (!guest.isAlive) continue;
      for (const source of [PM, VFS]) {
        const key = `${source}>${guest.endpoint}`;
        const notified = this.notifiedAt.get(key);
        if (notified !== undefined && (this.noticedAt.get(key) ?? -1) < notified) {
          this.fail(`${formatEndpoint(guest.endpoint)} never woke for ${formatEndpoint(source)}`);
        }
      }
    }
    for (const { guest, at, value } of this.writes) {
      if (!guest.isAlive) continue;
      const isOverwritten =
        this.unsettledWrites.filter((w) => w.guest === guest && Math.abs(w.at - at) < 16).length > 1;
      if (!isOverwritten && guest.memory[at] !== value) this.fail('a copy that ended well is not in memory');
    }
    for (let index = 0; index < this.nodes; index++) {
      const task = SYSTASK(index);
      const key = `${PM}>${task}`;
      if (this.counts.crashes === 0 && (this.received.get(key) ?? 0) !== (this.sent.get(key) ?? 0)) {
        this.fail(`posts to ${formatEndpoint(task)} are missing`);
      }
    }
    for (const kernel of this.kernels) {
      for (const row of kernel.list()) {
        if (row.queued > 0)
          this.fail(`${row.queued} senders are left in the queue of ${formatEndpoint(row.endpoint)}`);
      }
    }
  }
}
