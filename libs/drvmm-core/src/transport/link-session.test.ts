import { describe, expect, it } from '@jest/globals';
import { LinkSession } from './link-session.js';

/** mulberry32 */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const LOST_AFTER_MS = 6_000;

/** One end: what it was told, by session; frames are numbered within each session of theirs. */
class End {
  session: LinkSession;
  peer!: End;
  isUp = false;
  isFlushDue = false;
  /** Bytes on their way to the other end, in pieces of any size; null: no connection. */
  wire: Buffer[] | null = null;
  sent = { ipc: 0, control: 0 };
  received = { ipc: 0, control: 0 };
  /** Of the other end's session of the frames received, as they say. */
  hears = '';
  ups = 0;
  losses = 0;

  constructor(
    readonly world: World,
    readonly index: number,
    public incarnation: number,
  ) {
    this.session = this.make();
  }

  get name(): string {
    return `${this.index}.${this.incarnation}.${this.ups}`;
  }

  make(): LinkSession {
    return new LinkSession({
      index: this.index,
      peerIndex: 1 - this.index,
      incarnation: `run ${this.incarnation}`,
      lostAfterMs: LOST_AFTER_MS,
      newSessionId: () => String(this.world.random()),
      port: {
        write: (bytes) => {
          this.wire?.push(bytes);
          return this.world.random() < 0.7;
        },
        disconnect: () => this.world.cut(),
        wantsFlush: () => {
          this.isFlushDue = true;
        },
        // Any answer that a limit of the rate gives: none for now, little, all.
        room: () => {
          const dice = this.world.random();
          if (dice < 0.8) return dice < 0.4 ? Number.POSITIVE_INFINITY : 1 + Math.floor(dice * 3_000);
          this.isFlushDue = true;
          return 0;
        },
        up: () => {
          if (this.isUp) throw new Error('up twice');
          this.isUp = true;
          this.ups++;
          this.sent = { ipc: 0, control: 0 };
          this.received = { ipc: 0, control: 0 };
          this.hears = '';
        },
        lost: () => {
          if (!this.isUp) throw new Error('lost while it was not up');
          this.isUp = false;
          this.losses++;
        },
        ipc: (frame) => this.took('ipc', frame),
        control: (frame) => this.took('control', frame),
        drained() {},
        renew() {},
      },
    });
  }

  took(lane: 'ipc' | 'control', frame: Uint8Array): void {
    if (!this.isUp) throw new Error('a frame before up');
    const [name, number, filler] = Buffer.from(frame).toString('latin1').split('|') as [
      string,
      string,
      string,
    ];
    if (this.hears === '') this.hears = name;
    if (name !== this.hears) throw new Error(`frames of session ${name} in session ${this.hears}`);
    if (Number(number) !== ++this.received[lane]) {
      throw new Error(`${lane} ${number} arrives as number ${this.received[lane]}`);
    }
    if (lane === 'control' && filler.length !== (Number(number) * 7_919) % 200_000)
      throw new Error('torn frame');
  }

  send(): void {
    if (!this.isUp) return;
    this.session.sendIpc(Buffer.from(`${this.name}|${++this.sent.ipc}|`));
    if (this.world.random() < 0.05) {
      const number = ++this.sent.control;
      this.session.sendControl(
        Buffer.from(`${this.name}|${number}|${'b'.repeat((number * 7_919) % 200_000)}`),
      );
    }
  }

  flushIfDue(): void {
    if (!this.isFlushDue) return;
    this.isFlushDue = false;
    this.session.flush();
  }

  /** Some bytes arrive at the other end. */
  carry(): void {
    const { wire } = this;
    if (wire === null || wire.length === 0) return;
    const all = Buffer.concat(wire);
    const most = this.world.random() < 0.2 ? 30 : 200_000;
    const length = 1 + Math.floor(this.world.random() * Math.min(all.length, most));
    wire.length = 0;
    if (length < all.length) wire.push(all.subarray(length));
    this.peer.session.receive(Buffer.from(all.subarray(0, length)), this.world.now);
  }
}

class World {
  readonly random: () => number;
  readonly ends: [End, End];
  now = 0;

  constructor(seed: number) {
    this.random = randomFrom(seed);
    this.ends = [new End(this, 0, 1), new End(this, 1, 1)];
    this.ends[0].peer = this.ends[1];
    this.ends[1].peer = this.ends[0];
  }

  connect(): void {
    if (this.ends[0].wire !== null || this.ends.some((end) => end.session.isConnected)) return;
    for (const end of this.ends) end.wire = [];
    for (const end of this.ends) end.session.connected(this.now);
  }

  cut(): void {
    for (const end of this.ends) {
      end.wire = null;
      end.session.disconnected(this.now);
    }
  }

  step(isFaulty: boolean): void {
    const { random } = this;
    this.now += random() * 40;
    const end = this.ends[random() < 0.5 ? 0 : 1];
    const dice = random();
    if (dice < 0.3) end.send();
    else if (dice < 0.8) end.carry();
    else if (dice < 0.84) end.session.writable();
    else if (dice < 0.88) for (const one of this.ends) one.session.tick(this.now);
    else if (dice < 0.96) this.connect();
    else if (isFaulty && dice < 0.975) this.cut();
    else if (isFaulty && dice < 0.977) {
      this.cut();
      this.now += LOST_AFTER_MS + 1;
      end.session.tick(this.now); // The other may not have noticed.
    } else if (isFaulty && dice < 0.978) {
      this.cut();
      if (end.isUp) end.losses++;
      end.isUp = false;
      end.incarnation++;
      end.session = end.make();
    }
    for (const one of this.ends) one.flushIfDue();
  }
}

describe('a session over connections that break', () => {
  it('delivers each frame once and in order by lane, or says lost; and comes up again', () => {
    let ups = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const world = new World(seed);
      try {
        for (let i = 0; i < 2_500; i++) world.step(true);
        for (let i = 0; i < 400; i++) {
          world.step(false);
          if (i > 200) for (const end of world.ends) while ((end.wire?.length ?? 0) > 0) end.carry();
        }
        for (let i = 0; i < 2_000; i++) {
          world.connect();
          for (const end of world.ends) {
            end.carry();
            end.session.writable();
            end.flushIfDue();
          }
        }
        const [a, b] = world.ends;
        ups += a.ups;
        expect([a.isUp, b.isUp]).toEqual([true, true]);
        expect(a.received).toEqual(b.sent);
        expect(b.received).toEqual(a.sent);
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
    }
    expect(ups).toBeGreaterThan(100);
  });

  it('is not held against a peer that nobody listened to', () => {
    const world = new World(1);
    for (let i = 0; i < 200; i++) world.step(false);
    const [a] = world.ends;
    expect(a.isUp).toBe(true);
    world.now += 60_000;
    a.session.tick(world.now, 60_000);
    expect(a.losses).toBe(0);
    world.now += LOST_AFTER_MS + 41 * 200;
    a.session.tick(world.now);
    expect(a.losses).toBe(1);
  });

  it('takes any bytes for garbage and no harm', () => {
    const random = randomFrom(7);
    for (let i = 0; i < 500; i++) {
      const world = new World(i);
      const [a] = world.ends;
      a.wire = [];
      a.session.connected(0);
      const bytes = Buffer.alloc(1 + Math.floor(random() * 100));
      for (let at = 0; at < bytes.length; at++) bytes[at] = Math.floor(random() * 256);
      if (random() < 0.8) bytes[0] = 0xd5;
      if (random() < 0.8 && bytes.length > 1) bytes[1] = 0x10 + Math.floor(random() * 9);
      if (random() < 0.8 && bytes.length >= 8) bytes.fill(0, 4, 8);
      a.session.receive(bytes, 1);
      expect(a.isUp).toBe(false);
    }
  });
});

describe('two releases on one link', () => {
  /** What a pair says when it is joined, by what each speaks. */
  function join(...speaks: [first?: [number, number], second?: [number, number]]): string[][] {
    const said: string[][] = [[], []];
    const wires: Buffer[][] = [[], []];
    const sessions = [0, 1].map((index): LinkSession => {
      const session: LinkSession = new LinkSession({
        index,
        peerIndex: 1 - index,
        incarnation: 'run',
        lostAfterMs: LOST_AFTER_MS,
        speaks: speaks[index],
        newSessionId: () => `session of ${index}`,
        port: {
          write: (bytes) => wires[index]!.push(bytes) > 0,
          disconnect: (reason) => said[index]!.push(reason),
          wantsFlush: () => session.flush(),
          room: () => Number.POSITIVE_INFINITY,
          up: (_incarnation, version) => said[index]!.push(`version ${version}`),
          lost: (reason) => said[index]!.push(`lost: ${reason}`),
          renew: () => said[index]!.push('renew'),
          ipc() {},
          control() {},
          drained() {},
        },
      });
      return session;
    });
    for (const session of sessions) session.connected(0);
    for (let round = 0; round < 4; round++) {
      for (const index of [0, 1]) {
        for (const bytes of wires[index]!.splice(0)) sessions[1 - index]!.receive(Buffer.from(bytes), round);
      }
    }
    if (sessions[0]!.askRenewal()) said[0]!.push('asked');
    for (const bytes of wires[0]!.splice(0)) sessions[1]!.receive(Buffer.from(bytes), 5);
    return said;
  }

  it('speak the greatest version that both know, and ask for nothing beyond it', () => {
    expect(join()).toEqual([
      ['version 2', 'asked'],
      ['version 2', 'renew'],
    ]);
    expect(join([1, 1], undefined)).toEqual([['version 1'], ['version 1']]);
    expect(join([1, 5], [2, 3])).toEqual([
      ['version 3', 'asked'],
      ['version 3', 'renew'],
    ]);
  });

  it('part with a reason where they have no version in common', () => {
    const [first, second] = join([1, 2], [3, 4]);
    expect(first!.join()).toContain('it speaks versions 3 to 4 of the protocol, the other 1 to 2');
    expect(second!.join()).toContain('1 to 2');
    expect([...first!, ...second!].some((line) => line.startsWith('version'))).toBe(false);
  });
});
