import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { EAGAIN, EBUSY, EIO, ENODEV, ENXIO, OK, SUSPENDED } from '../ipc/errors.js';
import { DeviceBackEnd } from './device-back-end.js';
import { DEV_OPEN, type DeviceReply, type DeviceRequest } from './device-protocol.js';
import { DeviceRegistry, type DevicesHandover } from './device-registry.js';

const INDEX = 2;
const LIFE = 'first';

/** A host device: what it says comes from `says`, as far as `isQuiet` lets it; what is written to it is in `heard`. */
class Line {
  readonly says: number[] = [];
  readonly heard: number[] = [];
  /** Bytes that it takes before it is full. */
  room = Number.POSITIVE_INFINITY;
  failure: number = OK;
  opens = 0;
}

type Work = () => void;

/**
 * One back end and one registry with everything between them in queues: each thing happens when the test says so, and
 * whatever is on its way is lost when home moves or the link breaks.
 */
class World {
  readonly line = new Line();
  readonly plugged = new Map<number, string>();
  backEnd: DeviceBackEnd;
  registry: DeviceRegistry;
  life = LIFE;
  isLinked = true;
  device: number;
  changes: number[] = [];
  /** What the host is doing, and timers. */
  host: Work[] = [];
  toBack: Work[] = [];
  toFront: Work[] = [];

  constructor() {
    this.backEnd = this.#newBackEnd();
    this.device = this.backEnd.plug('/dev/line');
    this.registry = this.#newRegistry();
    this.announce();
  }

  #newBackEnd(): DeviceBackEnd {
    const { line } = this;
    const later = (work: (backEnd: DeviceBackEnd) => void): void => {
      const backEnd = this.backEnd;
      this.host.push(() => work(backEnd));
    };
    return new DeviceBackEnd({
      open: (id) =>
        later((backEnd) => {
          if (line.failure === OK) line.opens++;
          backEnd.hasOpened(id, line.failure);
        }),
      read: (id, length) =>
        later((backEnd) => {
          if (line.failure !== OK) backEnd.hasRead(id, line.failure);
          else if (line.says.length === 0) backEnd.hasRead(id, EAGAIN);
          else backEnd.hasRead(id, Uint8Array.from(line.says.splice(0, length)));
        }),
      write: (id, bytes) =>
        later((backEnd) => {
          const taken = Math.min(bytes.length, line.room);
          line.room -= taken;
          line.heard.push(...bytes.subarray(0, taken));
          backEnd.hasWritten(id, taken === 0 ? EAGAIN : taken);
        }),
      close: () => {
        line.opens--;
      },
      wakeLater: (id) => later((backEnd) => backEnd.due(id)),
      reply: (reply: DeviceReply, data) => {
        const copy = data.slice();
        this.#post(this.toFront, () => this.registry.reply(INDEX, reply, copy));
      },
    });
  }

  #newRegistry(handover?: DevicesHandover): DeviceRegistry {
    return new DeviceRegistry(
      {
        send: (_index, request: DeviceRequest, data) => {
          const copy = data.slice();
          this.#post(this.toBack, () => this.backEnd.request(request, copy));
        },
        plugged: (number, _index, name) => void this.plugged.set(number, name),
        unplugged: (number) => void this.plugged.delete(number),
        changed: (number) => {
          this.changes.push(number);
          this.onChange();
        },
      },
      handover,
    );
  }

  onChange: () => void = () => {};

  #post(queue: Work[], work: Work): void {
    if (this.isLinked) queue.push(work);
  }

  announce(devices = [{ id: this.device, name: 'node2/line' }]): void {
    if (this.isLinked) this.registry.announce(INDEX, { life: this.life, devices });
  }

  /** Home moves: what is on its way is lost. */
  moveHome(users: number): void {
    this.toBack = [];
    this.toFront = [];
    const handover = JSON.parse(JSON.stringify(this.registry.handover())) as DevicesHandover;
    this.registry = this.#newRegistry(handover);
    for (let i = 0; i < users; i++) this.registry.reopened(this.number);
  }

  unlink(): void {
    this.isLinked = false;
    this.toBack = [];
    this.toFront = [];
    this.registry.nodeLost(INDEX);
  }

  link(): void {
    this.isLinked = true;
    this.announce();
  }

  restartBackEnd(): void {
    this.backEnd = this.#newBackEnd();
    this.life = `${this.life}+`;
    this.device = this.backEnd.plug('/dev/line');
  }

  get number(): number {
    return [...this.plugged.keys()][0]!;
  }

  /** One step of the host or of the link. @returns false when there is none. */
  step(choice = 0): boolean {
    const queues = [this.host, this.toBack, this.toFront].filter((queue) => queue.length > 0);
    if (queues.length === 0) return false;
    queues[choice % queues.length]!.shift()!();
    return true;
  }

  /** Makes the call, and again whenever something has happened, until it ends. */
  settle<T>(call: () => T): T {
    for (let steps = 0; steps < 10_000; steps++) {
      const result = call();
      if (result !== SUSPENDED) return result;
      this.step(steps);
    }
    throw new Error('the call does not end');
  }

  open(isExclusive = false): number {
    const status = this.settleTold(() => this.registry.open(this.number, isExclusive));
    if (status === OK) this.registry.opened(this.number, isExclusive);
    return status;
  }

  /** As `settle` where failures are told during `changed` alone. */
  settleTold(call: () => number): number {
    let result = call();
    this.onChange = () => {
      if (result === SUSPENDED) result = call();
    };
    for (let steps = 0; result === SUSPENDED && steps < 10_000; steps++) this.step(steps);
    this.onChange = () => {};
    return result;
  }

  run(): void {
    for (let steps = 0; steps < 200; steps++) if (!this.step(steps)) return;
  }
}

const text = (bytes: Uint8Array | number): string =>
  typeof bytes === 'number' ? String(bytes) : Buffer.from(bytes).toString();
const bytesOf = (of: string): number[] => [...Buffer.from(of)];

describe('an attached device', () => {
  it('is opened with its first user, read and written, and closed with its last', () => {
    const world = new World();
    expect(world.plugged).toEqual(new Map([[16, 'node2/line']]));
    expect(world.open()).toBe(OK);
    expect(world.open()).toBe(OK);
    world.line.says.push(...bytesOf('hello'));
    expect(text(world.settle(() => world.registry.read(16, 3)))).toBe('hel');
    expect(text(world.settle(() => world.registry.read(16, 100)))).toBe('lo');
    expect(world.settle(() => world.registry.write(16, 100, Buffer.from('abc')))).toBe(3);
    expect(world.line.heard).toEqual(bytesOf('abc'));
    world.registry.closed(16);
    world.run();
    expect(world.line.opens).toBe(1);
    world.registry.closed(16);
    world.run();
    expect(world.line.opens).toBe(0);
  });

  it('tells why the host cannot open it, and can be tried again', () => {
    const world = new World();
    world.line.failure = ENXIO;
    expect(world.open()).toBe(ENXIO);
    world.line.failure = OK;
    expect(world.open()).toBe(OK);
  });

  it('is one user’s alone where that was asked for', () => {
    const world = new World();
    expect(world.open(true)).toBe(OK);
    expect(world.open()).toBe(EBUSY);
    world.registry.closed(16);
    expect(world.open()).toBe(OK);
    expect(world.open(true)).toBe(EBUSY);
  });

  it('says whether there is something to read', () => {
    const world = new World();
    world.open();
    expect(world.registry.readable(16)).toBe(SUSPENDED);
    world.run();
    expect(world.registry.readable(16)).toBe(SUSPENDED);
    world.line.says.push(1, 2, 3);
    expect(world.settle(() => world.registry.readable(16))).toBe(3);
  });

  it('that takes no more keeps its writer waiting, and tells one who does not wait', () => {
    const world = new World();
    world.open();
    world.line.room = 2;
    const data = Buffer.from('abcd');
    expect(world.settle(() => world.registry.write(16, 100, data))).toBe(2);
    expect(world.settle(() => world.registry.write(16, 100, data, true))).toBe(EAGAIN);
    expect(world.registry.write(16, 100, data)).toBe(SUSPENDED);
    // What it says meanwhile is read all the same.
    world.line.says.push(...bytesOf('x'));
    expect(text(world.settle(() => world.registry.read(16, 9)))).toBe('x');
    world.line.room = 100;
    expect(world.settle(() => world.registry.write(16, 100, data))).toBe(4);
    expect(Buffer.from(world.line.heard).toString()).toBe('ababcd');
  });

  it('that is unplugged ends what waits for it, and its number is never another’s', () => {
    const world = new World();
    world.open();
    expect(world.registry.read(16, 10)).toBe(SUSPENDED);
    world.run();
    world.backEnd.unplug(world.device);
    world.announce([]);
    expect(world.plugged.size).toBe(0);
    expect(world.registry.read(16, 10)).toBe(ENODEV);
    expect(world.registry.write(16, 100, Buffer.from('a'))).toBe(ENODEV);
    world.run();
    expect(world.line.opens).toBe(0);
    world.device = world.backEnd.plug('/dev/line');
    world.announce();
    expect([...world.plugged.keys()]).toEqual([17]);
    expect(world.registry.read(16, 10)).toBe(ENODEV);
    expect(world.open()).toBe(OK);
  });

  it('on a node that is lost gives EIO, and goes on where it was when the node is back', () => {
    const world = new World();
    world.open();
    world.line.says.push(...bytesOf('one'));
    expect(text(world.settle(() => world.registry.read(16, 2)))).toBe('on');
    expect(world.registry.write(16, 100, Buffer.from('a'))).toBe(SUSPENDED);
    world.unlink();
    expect(world.registry.write(16, 100, Buffer.from('a'))).toBe(EIO);
    expect(world.registry.read(16, 9)).toBe(EIO);
    world.run();
    world.link();
    world.line.says.push(...bytesOf('two'));
    expect(text(world.settle(() => world.registry.read(16, 9)))).toBe('etwo');
  });

  it('of a container that has started anew is another device', () => {
    const world = new World();
    world.open();
    world.unlink();
    world.restartBackEnd();
    world.link();
    expect([...world.plugged.keys()]).toEqual([17]);
    expect(world.registry.read(16, 9)).toBe(ENODEV);
    expect(world.open()).toBe(OK);
  });

  it('refuses what no registry asks', () => {
    const world = new World();
    const ask = (kind: number, offset: number, length: number): void =>
      world.backEnd.request(
        { kind, device: world.device, request: 1, flags: 0, offset, length },
        Buffer.from('x'),
      );
    for (const kind of [0x403, 0x404, 0x405, 0x40c, -1]) {
      for (const offset of [-1, 5, Number.NaN])
        for (const length of [0, 1e9, Number.NaN]) ask(kind, offset, length);
    }
    world.backEnd.request(
      { kind: DEV_OPEN, device: 99, request: 1, flags: 0, offset: 0, length: 0 },
      Buffer.of(),
    );
    world.run();
    expect(world.open()).toBe(OK);
  });
});

describe('over moves of home and broken links', () => {
  /** What may happen between two steps. */
  const event = fc.oneof(
    { weight: 30, arbitrary: fc.record({ kind: fc.constant('step' as const), choice: fc.nat(5) }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('says' as const), choice: fc.nat(4) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('move' as const), choice: fc.nat(1) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('room' as const), choice: fc.nat(3) }) },
  );
  const linkEvent = fc.record({ kind: fc.constant('link' as const), choice: fc.nat(1) });

  function play(events: readonly { kind: 'step' | 'says' | 'move' | 'room' | 'link'; choice: number }[]): {
    read: number[];
    said: number;
    sent: number[];
    heard: number[];
    unsure: number;
  } {
    const world = new World();
    world.open();
    const result = {
      read: [] as number[],
      said: 0,
      sent: [] as number[],
      heard: world.line.heard,
      unsure: 0,
    };
    let next = 0;
    const writers = [100, 101].map((caller) => ({ caller, data: Buffer.of() as Uint8Array }));
    const turn = (): void => {
      const bytes = world.registry.read(16, 4);
      if (typeof bytes !== 'number') result.read.push(...bytes);
      for (const writer of writers) {
        if (writer.data.length === 0)
          writer.data = Uint8Array.from([next++ & 255, next++ & 255, next++ & 255]);
        const count = world.registry.write(16, writer.caller, writer.data);
        if (count > 0) {
          result.sent.push(...writer.data.subarray(0, count));
          writer.data = writer.data.subarray(count);
        } else if (count === EIO && world.isLinked === false) {
          // It cannot be known whether it was taken: a program gives up here.
          result.unsure++;
          writer.data = Buffer.of();
        }
      }
    };
    for (const { kind, choice } of events) {
      if (kind === 'says') for (let i = 0; i <= choice; i++) world.line.says.push(result.said++ & 255);
      else if (kind === 'room') world.line.room = choice * 2;
      else if (kind === 'move') {
        world.moveHome(1);
        world.announce();
      } else if (kind === 'link') {
        if (world.isLinked) world.unlink();
        else world.link();
      } else world.step(choice);
      turn();
    }
    world.line.room = Number.POSITIVE_INFINITY;
    if (!world.isLinked) world.link();
    for (let i = 0; i < 300 || world.line.says.length > 0; i++) {
      world.step(i);
      turn();
    }
    return result;
  }

  it('each byte is read once and in order, and what a writer is told was taken is what the device has', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 300 }), (events) => {
        const { read, said, sent, heard } = play(events);
        expect(read).toEqual(Array.from({ length: said }, (_, i) => i & 255));
        // The last ones may still be on their way.
        expect(heard.slice(0, sent.length)).toEqual(sent);
        expect(heard.length - sent.length).toBeLessThanOrEqual(6);
      }),
      { numRuns: 200 },
    );
  });

  it('a link that breaks makes no byte come twice or get lost that somebody reads', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof({ weight: 20, arbitrary: event }, { weight: 1, arbitrary: linkEvent }), {
          maxLength: 300,
        }),
        (events) => {
          const { read, said, sent, heard } = play(events);
          expect(read).toEqual(Array.from({ length: said }, (_, i) => i & 255));
          // All that was acknowledged is there, in order; what was given up may be, too.
          let at = 0;
          for (const byte of heard) if (byte === sent[at]) at++;
          expect(at).toBe(sent.length);
        },
      ),
      { numRuns: 200 },
    );
  });
});
