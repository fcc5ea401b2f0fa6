import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { SyncMachine } from './sync-machine.js';
import {
  decodeResult,
  encodeCommand,
  encodeQuestion,
  GateMode,
  type SyncOperation,
  SyncStatus,
} from './sync-operation.js';

/** A machine with sessions that count their operations themselves. */
class Bench {
  readonly machine = new SyncMachine();
  #index = 0;
  timeMs = 0;
  readonly #sequences = new Map<number, number>();

  open(leaseMs = 1_000): number {
    return this.#apply({ kind: 'open', timeMs: this.timeMs, leaseMs }).token;
  }

  tick(timeMs: number): void {
    this.timeMs = timeMs;
    this.#apply({ kind: 'tick', timeMs });
  }

  renew(session: number) {
    return this.#apply({ kind: 'renew', timeMs: this.timeMs, session, acknowledged: 0 });
  }

  do(session: number, operation: SyncOperation, sequence = (this.#sequences.get(session) ?? 0) + 1) {
    this.#sequences.set(session, Math.max(sequence, this.#sequences.get(session) ?? 0));
    return this.#apply({
      kind: 'operate',
      timeMs: this.timeMs,
      session,
      sequence,
      acknowledged: 0,
      operation,
    });
  }

  acquire(
    session: number,
    name: string,
    mode = GateMode.Exclusive,
    more: { permits?: number; capacity?: number; isTry?: boolean } = {},
  ) {
    const { permits = 1, capacity = 0, isTry = false } = more;
    return this.do(session, {
      kind: 'acquire',
      name,
      mode,
      permits,
      capacity,
      isTry,
      value: Buffer.from(`of ${session}`),
    });
  }

  release(session: number, name: string, token: number) {
    return this.do(session, { kind: 'release', name, token });
  }

  read(name: string): string {
    return Buffer.from(
      decodeResult(this.machine.query(encodeQuestion({ kind: 'read', name }))).value,
    ).toString();
  }

  #apply(command: Parameters<typeof encodeCommand>[0]) {
    return decodeResult(this.machine.apply(encodeCommand(command), ++this.#index));
  }
}

const { Granted, Waiting, Busy, Done, NotHeld, SessionExpired, Conflict, Cancelled } = SyncStatus;

describe('a lock', () => {
  it('goes to one at a time, in the order of asking, with growing tokens', () => {
    const bench = new Bench();
    const [a, b, c] = [bench.open(), bench.open(), bench.open()];
    const first = bench.acquire(a, 'lock');
    expect(first.status).toBe(Granted);
    expect(bench.acquire(b, 'lock').status).toBe(Waiting);
    expect(bench.acquire(c, 'lock').status).toBe(Waiting);
    expect(bench.acquire(c, 'lock', GateMode.Exclusive, { isTry: true }).status).toBe(Busy);
    bench.release(a, 'lock', first.token);
    const notices = bench.machine.takeNotices().filter(({ session }) => session !== a);
    expect(notices).toMatchObject([{ session: b, sequence: 1, result: { status: Granted } }]);
    expect(notices[0]!.result.token).toBeGreaterThan(first.token);
  });

  it('is free again, for the next in line, when the session of its holder ends', () => {
    const bench = new Bench();
    const [a, b] = [bench.open(1_000), bench.open(5_000)];
    bench.acquire(a, 'lock');
    bench.acquire(b, 'lock');
    bench.tick(999);
    expect(bench.machine.holdersOf('lock')).toMatchObject([{ session: a }]);
    bench.tick(1_000);
    expect(bench.machine.holdersOf('lock')).toMatchObject([{ session: b }]);
    expect(bench.renew(a).status).toBe(SessionExpired);
  });

  it('is not released by another, nor by an old token', () => {
    const bench = new Bench();
    const [a, b] = [bench.open(), bench.open()];
    const { token } = bench.acquire(a, 'lock');
    expect(bench.release(b, 'lock', token).status).toBe(NotHeld);
    bench.release(a, 'lock', token);
    bench.acquire(a, 'lock');
    expect(bench.release(a, 'lock', token).status).toBe(NotHeld);
    expect(bench.machine.holdersOf('lock')).toHaveLength(1);
  });

  it('guards a register: a write with a token that is no longer good is refused', () => {
    const bench = new Bench();
    const [a, b] = [bench.open(1_000), bench.open(9_000)];
    const write = (session: number, value: string, fence: number) =>
      bench.do(session, { kind: 'write', name: 'data', value: Buffer.from(value), lock: 'lock', fence })
        .status;
    const { token } = bench.acquire(a, 'lock');
    expect(write(a, 'by a', token)).toBe(Done);
    bench.tick(1_000);
    bench.acquire(b, 'lock');
    expect(write(b, 'by b', token)).toBe(NotHeld);
    expect(bench.read('data')).toBe('by a');
  });

  it('shows who was elected by it', () => {
    const bench = new Bench();
    const a = bench.open();
    const { token } = bench.acquire(a, 'leader');
    const answer = decodeResult(bench.machine.query(encodeQuestion({ kind: 'holders', name: 'leader' })));
    expect(answer.token).toBe(token);
    expect(Buffer.from(answer.value).toString()).toBe(`of ${a}`);
  });
});

describe('an operation', () => {
  it('that comes again is not done again, and gives the same result', () => {
    const bench = new Bench();
    const a = bench.open();
    const add: SyncOperation = { kind: 'add', name: 'count', amount: 5 };
    expect(bench.do(a, add, 1).token).toBe(5);
    expect(bench.do(a, add, 1).token).toBe(5);
    expect(bench.do(a, add, 2).token).toBe(10);
  });

  it('that waits answers what it has come to when it is asked again', () => {
    const bench = new Bench();
    const [a, b] = [bench.open(), bench.open()];
    const { token } = bench.acquire(a, 'lock');
    const ask: SyncOperation = {
      kind: 'acquire',
      name: 'lock',
      mode: GateMode.Exclusive,
      permits: 1,
      capacity: 0,
      isTry: false,
      value: new Uint8Array(0),
    };
    expect(bench.do(b, ask, 1).status).toBe(Waiting);
    bench.release(a, 'lock', token);
    expect(bench.do(b, ask, 1).status).toBe(Granted);
  });

  it('that waits can be called off', () => {
    const bench = new Bench();
    const [a, b, c] = [bench.open(), bench.open(), bench.open()];
    const { token } = bench.acquire(a, 'lock');
    bench.acquire(b, 'lock');
    bench.acquire(c, 'lock');
    expect(bench.do(b, { kind: 'cancel', target: 1 }).status).toBe(Cancelled);
    bench.release(a, 'lock', token);
    expect(bench.machine.holdersOf('lock')).toMatchObject([{ session: c }]);
  });
});

describe('the others', () => {
  it('a read-write lock lets readers in together, and no reader past a waiting writer', () => {
    const bench = new Bench();
    const [a, b, c, d] = [bench.open(), bench.open(), bench.open(), bench.open()];
    expect(bench.acquire(a, 'rw', GateMode.Shared).status).toBe(Granted);
    expect(bench.acquire(b, 'rw', GateMode.Shared).status).toBe(Granted);
    expect(bench.acquire(c, 'rw', GateMode.Exclusive).status).toBe(Waiting);
    expect(bench.acquire(d, 'rw', GateMode.Shared).status).toBe(Waiting);
    for (const { session, token } of [...bench.machine.holdersOf('rw')]) bench.release(session, 'rw', token);
    expect(bench.machine.holdersOf('rw')).toMatchObject([{ session: c, mode: GateMode.Exclusive }]);
  });

  it('a semaphore gives as many permits as it has', () => {
    const bench = new Bench();
    const [a, b, c] = [bench.open(), bench.open(), bench.open()];
    const permits = (count: number) => ({ permits: count, capacity: 3 });
    const first = bench.acquire(a, 'sem', GateMode.Permits, permits(2));
    expect(bench.acquire(b, 'sem', GateMode.Permits, permits(2)).status).toBe(Waiting);
    // A small request does not overtake a large one.
    expect(bench.acquire(c, 'sem', GateMode.Permits, permits(1)).status).toBe(Waiting);
    expect(bench.acquire(c, 'sem', GateMode.Permits, { permits: 1, capacity: 4 }).status).toBe(Conflict);
    bench.release(a, 'sem', first.token);
    expect(bench.machine.holdersOf('sem')).toMatchObject([{ session: b }, { session: c }]);
  });

  it('a barrier opens for all when the last has come, and again for the next round', () => {
    const bench = new Bench();
    const [a, b] = [bench.open(), bench.open()];
    for (let round = 0; round < 2; round++) {
      expect(bench.do(a, { kind: 'enter', name: 'barrier', parties: 2 }).status).toBe(Waiting);
      expect(bench.do(b, { kind: 'enter', name: 'barrier', parties: 2 }).status).toBe(Done);
      expect(bench.machine.takeNotices().map(({ session }) => session)).toEqual([a, b]);
    }
  });

  it('a condition gives the lock up, and back with a new token when signalled', () => {
    const bench = new Bench();
    const [a, b] = [bench.open(), bench.open()];
    const held = bench.acquire(a, 'lock');
    const wait: SyncOperation = { kind: 'wait', name: 'full', lock: 'lock', token: held.token };
    expect(bench.do(b, wait).status).toBe(NotHeld);
    expect(bench.do(a, wait).status).toBe(Waiting);
    const theirs = bench.acquire(b, 'lock');
    expect(theirs.status).toBe(Granted);
    bench.do(b, { kind: 'signal', name: 'full', isAll: true });
    expect(bench.machine.holdersOf('lock')).toMatchObject([{ session: b }]);
    bench.machine.takeNotices();
    bench.release(b, 'lock', theirs.token);
    const [notice] = bench.machine.takeNotices();
    expect(notice).toMatchObject({ session: a, result: { status: Granted } });
    expect(notice!.result.token).toBeGreaterThan(theirs.token);
  });
});

describe('the machine', () => {
  const name = fc.constantFrom('x', 'y');
  const token = fc.nat(12);
  const operation: fc.Arbitrary<SyncOperation> = fc.oneof(
    fc.record({
      kind: fc.constant('acquire' as const),
      name,
      mode: fc.constantFrom(GateMode.Exclusive, GateMode.Shared, GateMode.Permits),
      permits: fc.integer({ min: 1, max: 2 }),
      capacity: fc.constant(3),
      isTry: fc.boolean(),
      value: fc.constant(new Uint8Array(0)),
    }),
    fc.record({ kind: fc.constant('release' as const), name, token }),
    fc.record({ kind: fc.constant('enter' as const), name, parties: fc.integer({ min: 1, max: 3 }) }),
    fc.record({ kind: fc.constant('wait' as const), name, lock: name, token }),
    fc.record({ kind: fc.constant('signal' as const), name, isAll: fc.boolean() }),
    fc.record({ kind: fc.constant('cancel' as const), target: fc.nat(10) }),
    fc.record({ kind: fc.constant('add' as const), name: fc.constant('n'), amount: fc.nat(9) }),
  );
  const steps = fc.array(fc.record({ who: fc.nat(3), operation, later: fc.nat(400) }), { maxLength: 60 });

  it('never lets an exclusive holder have company, nor tokens shrink, whatever is asked', () => {
    fc.assert(
      fc.property(steps, (plan) => {
        const bench = new Bench();
        const sessions = [0, 1, 2, 3].map(() => bench.open(1_500));
        let highest = 0;
        for (const { who, operation: asked, later } of plan) {
          bench.timeMs += later;
          bench.do(sessions[who]!, asked);
          for (const gate of ['x', 'y']) {
            const holders = bench.machine.holdersOf(gate);
            const exclusive = holders.filter(({ mode }) => mode === GateMode.Exclusive);
            expect(exclusive.length === 0 || holders.length === 1).toBe(true);
          }
          for (const { result } of bench.machine.takeNotices()) {
            if (result.status !== Granted) continue;
            expect(result.token).toBeGreaterThan(highest);
            highest = result.token;
          }
        }
      }),
    );
  });

  it('is the same after a snapshot as before it', () => {
    fc.assert(
      fc.property(steps, fc.nat(60), (plan, at) => {
        const [whole, restored] = [new Bench(), new Bench()];
        const sessions = [0, 1, 2, 3].map(() => whole.open(1_500));
        for (const _ of sessions) restored.open(1_500);
        plan.forEach(({ who, operation: asked, later }, step) => {
          if (step === at) restored.machine.restore(whole.machine.snapshot());
          whole.timeMs += later;
          restored.timeMs = whole.timeMs;
          const expected = whole.do(sessions[who]!, asked);
          expect(restored.do(sessions[who]!, asked)).toEqual(expected);
        });
        expect(Buffer.compare(restored.machine.snapshot(), whole.machine.snapshot())).toBe(0);
      }),
    );
  });

  it('answers garbage, and is not changed by it', () => {
    const machine = new SyncMachine();
    const before = Buffer.from(machine.snapshot());
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (garbage) => {
        if (garbage[0] !== undefined && garbage[0] <= 4) return;
        expect(decodeResult(machine.apply(garbage, 1)).status).toBe(SyncStatus.Malformed);
        expect(Buffer.compare(machine.snapshot(), before)).toBe(0);
      }),
    );
  });
});
