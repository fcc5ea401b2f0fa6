import { describe, expect, it } from '@jest/globals';
import {
  ANY,
  type CopyElement,
  DS,
  E2BIG,
  ECALLDENIED,
  EDEADSRCDST,
  EINVAL,
  ELOOP,
  type Endpoint,
  EPERM,
  GRANT_READ,
  GRANT_WRITE,
  type GrantMemory,
  IpcKernel,
  OK,
  type Owner,
  PEER_PRIVILEGES,
  PM,
  SERVER_PRIVILEGES,
  SUSPENDED,
  VFS,
} from '../index.js';
import { Cluster, user } from './testing/kernel-cluster.js';

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

class Guest implements Owner {
  readonly memory: Uint8Array;

  constructor(
    readonly endpoint: Endpoint,
    content: string,
  ) {
    this.memory = new TextEncoder().encode(content);
  }

  grantMemory(_self: Endpoint, offset: number, length: number): GrantMemory {
    return { offset, length, bytes: () => this.memory };
  }
}

/** Kernels of a cluster, and guests `40`, `41`, … one on each container after another. */
function cluster(containers: number, contents: readonly string[]) {
  const joined = new Cluster(containers);
  const { kernels } = joined;
  const guests = contents.map((content, i) => {
    const guest = new Guest(user(40 + i), content);
    kernels[0]!.setLocation(guest.endpoint, i % containers, 1);
    kernels[i % containers]!.bind(guest.endpoint, 'process', guest, PEER_PRIVILEGES);
    return guest;
  });
  return {
    kernels,
    guests,
    settle: () => joined.settle(),
    /** How a copy ended, at once or after all frames have passed. */
    end(copy: (done: (status: number) => void) => number): number {
      let ended: number | undefined;
      const status = copy((late) => {
        if (ended !== undefined) throw new Error('a copy ends once');
        ended = late;
      });
      if (status !== SUSPENDED) return status;
      this.settle();
      if (ended === undefined) throw new Error('the copy never ended');
      return ended;
    },
  };
}

describe.each([1, 2, 3])('grants over %d containers', (containers) => {
  it('are handed on and used within what each of the givers allows, until one takes it back', () => {
    const world = cluster(containers, ['the granter', 'second', 'third']);
    const [a, b, c] = world.guests as [Guest, Guest, Guest];
    const kernelOf = (guest: Guest) => world.kernels[world.guests.indexOf(guest) % containers]!;
    const both = GRANT_READ | GRANT_WRITE;
    const region = a.grantMemory(a.endpoint, 4, 7);
    const first = kernelOf(a).grantDirect(a.endpoint, b.endpoint, region, both);
    const readable = kernelOf(b).grantIndirect(b.endpoint, c.endpoint, a.endpoint, first, GRANT_READ);
    const writable = kernelOf(b).grantIndirect(b.endpoint, c.endpoint, a.endpoint, first, GRANT_WRITE);
    const into = new Uint8Array(5);
    const read = (granter: Guest, grant: number, offset = 1) =>
      world.end((done) => kernelOf(c).safecopyFrom(c.endpoint, granter.endpoint, grant, offset, into, done));
    const write = (grant: number) =>
      world.end((done) => {
        const source = new TextEncoder().encode('XY');
        return kernelOf(c).safecopyTo(c.endpoint, b.endpoint, grant, 0, source, done);
      });
    expect(read(b, readable)).toBe(OK);
    expect(text(into)).toBe('rante');
    expect(write(writable)).toBe(OK);
    expect(text(a.memory)).toBe('the XYanter');
    // Not by a way round the second, nor further than the first goes, nor otherwise than allowed.
    expect(read(a, first)).toBe(EPERM);
    expect(read(b, readable, 3)).toBe(EINVAL);
    expect([write(readable), read(b, writable)]).toEqual([EPERM, EPERM]);
    expect(kernelOf(a).revoke(a.endpoint, first)).toBe(OK);
    expect(read(b, readable)).toBe(EPERM);
    expect(read(b, 999)).toBe(EPERM);
  });

  it('that lead in a circle lead nowhere', () => {
    const world = cluster(containers, ['a', 'b', 'c']);
    const [a, b, c] = world.guests as [Guest, Guest, Guest];
    const kernelOf = (guest: Guest) => world.kernels[world.guests.indexOf(guest) % containers]!;
    expect(kernelOf(a).grantIndirect(a.endpoint, ANY, b.endpoint, 1, GRANT_READ)).toBe(1);
    expect(kernelOf(b).grantIndirect(b.endpoint, ANY, a.endpoint, 1, GRANT_READ)).toBe(1);
    const status = world.end((done) =>
      kernelOf(c).safecopyFrom(c.endpoint, a.endpoint, 1, 0, new Uint8Array(1), done),
    );
    expect(status).toBe(ELOOP);
  });

  it('open the memory of another process for the server that may, and for nobody else', () => {
    const world = cluster(containers, ['zero', 'the subject', 'driver']);
    const [, subject, driver] = world.guests as [Guest, Guest, Guest];
    const home = world.kernels[0]!;
    const { length } = subject.memory;
    home.bind(VFS, 'server', { onMessage() {} }, { ...SERVER_PRIVILEGES, mayGrantOthers: true });
    home.bind(PM, 'server', { onMessage() {} }, SERVER_PRIVILEGES);
    const magic = (owner: Endpoint, at: number, size: number) =>
      home.grantMagic(owner, driver.endpoint, subject.endpoint, at, size, GRANT_READ | GRANT_WRITE);
    expect(magic(PM, 0, 1)).toBe(EPERM);
    expect(magic(world.guests[0]!.endpoint, 0, 1)).toBe(EPERM);
    const grant = magic(VFS, 4, 7);
    const at = world.kernels[2 % containers]!;
    const into = new Uint8Array(7);
    const copy = (bytes: Uint8Array, offset: number, isWrite: boolean, id = grant) =>
      world.end((done) =>
        isWrite
          ? at.safecopyTo(driver.endpoint, VFS, id, offset, bytes, done)
          : at.safecopyFrom(driver.endpoint, VFS, id, offset, bytes, done),
      );
    expect(copy(into, 0, false)).toBe(OK);
    expect(text(into)).toBe('subject');
    expect(copy(new TextEncoder().encode('O'), 1, true)).toBe(OK);
    expect(text(subject.memory)).toBe('the sObject');
    expect(copy(into, 1, false)).toBe(EINVAL);
    // Beyond the end of the memory that there is.
    expect(copy(into, 0, false, magic(VFS, length - 3, 7))).toBe(EINVAL);
    world.kernels[1 % containers]!.unbind(subject.endpoint);
    home.forgetLocation(subject.endpoint);
    expect(copy(into, 0, false)).toBe(EDEADSRCDST);
  });

  it('are copied through several at a time, as one', () => {
    const world = cluster(containers, ['alpha', 'bravo', 'charlie']);
    const [a, b, c] = world.guests as [Guest, Guest, Guest];
    const kernelOf = (guest: Guest) => world.kernels[world.guests.indexOf(guest) % containers]!;
    const elements = [a, b].map((guest): CopyElement => {
      const region = guest.grantMemory(guest.endpoint, 0, 5);
      const grant = kernelOf(guest).grantDirect(guest.endpoint, c.endpoint, region, GRANT_READ | GRANT_WRITE);
      return { granter: guest.endpoint, grant, offset: 0, bytes: new Uint8Array(5), isWrite: false };
    });
    const vector = (more: readonly CopyElement[]) =>
      world.end((done) => kernelOf(c).vsafecopy(c.endpoint, more, done));
    const patch: CopyElement = { ...elements[1]!, offset: 2, bytes: new Uint8Array([33]), isWrite: true };
    expect(vector([...elements, patch])).toBe(OK);
    expect(elements.map(({ bytes }) => text(bytes))).toEqual(['alpha', 'bravo']);
    expect(text(b.memory)).toBe('br!vo');
    expect(vector([elements[0]!, { ...patch, grant: 77 }, elements[1]!])).toBe(EPERM);
    expect(vector([])).toBe(OK);
    expect(vector(Array.from({ length: 65 }, () => patch))).toBe(E2BIG);
  });
});

describe('privileges of granters', () => {
  it('say to whom they may give grants', () => {
    const kernel = new IpcKernel({ index: 0, network: { send() {} } });
    const guest = new Guest(user(40), 'memory');
    kernel.bind(guest.endpoint, 'process', guest, { ...PEER_PRIVILEGES, grantTo: 'servers' });
    const give = (to: Endpoint) =>
      kernel.grantDirect(guest.endpoint, to, guest.grantMemory(guest.endpoint, 0, 6), GRANT_READ);
    expect([give(VFS), give(DS), give(user(41)), give(ANY)]).toEqual([1, 2, ECALLDENIED, ECALLDENIED]);
  });
});
