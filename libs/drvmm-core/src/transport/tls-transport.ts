import { randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { performance } from 'node:perf_hooks';
import { connect, createServer, type Server, type TLSSocket } from 'node:tls';
import { type ContainerPeer, DrvsError, type FramePipe, RpcPeer } from '@drvs/contracts';
import { LinkSession } from './link-session.js';
import { type SendCounters, SendGate } from './send-gate.js';
import type { Transport, TransportEvents, TransportIdentity, TransportOptions } from './transport.js';

const DEFAULT_LOST_AFTER_MS = 6_000;
/** Between attempts to reach a peer: this, doubled each time up to the second. */
const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 1_000;
/** A connection that has not proved who it is by then is closed. */
const HANDSHAKE_MS = 5_000;
/** Connections at a time, known or not: one per container of a DRVM and some that are on their way. */
const MAX_CONNECTIONS = 4_096;

/** A connection whose certificates were replaced goes on for this long, if it is not replaced before. */
export const ROTATION_GRACE_MS = 30_000;

/** Said to a peer that was taken out of the DRVM. */
export const LEFT_DRVM = 'left the DRVM';

/** The name in a container's certificate. */
export function containerName(drvmId: string, index: number): string {
  return `drvs:${drvmId}:${index}`;
}

/** One peer: its session, the present connection, and (if this side dials) its address. */
class Peer {
  socket: TLSSocket | null = null;
  address: { host: string; port: number } | null = null;
  retryMs = FIRST_RETRY_MS;
  retryTimer: NodeJS.Timeout | null = null;
  isFlushDue = false;
  /** A second connection is being made, to take the place of the present one. */
  isRenewing = false;
  /** Of the identity that the present connection was made under. */
  generation = 0;
  rpc: RpcPeer | null = null;
  pipe: ControlPipe | null = null;

  constructor(
    readonly index: number,
    readonly session: LinkSession,
  ) {}
}

class ControlPipe implements FramePipe {
  onFrame: ((frame: Uint8Array) => void) | null = null;
  onClose: ((reason: string) => void) | null = null;

  constructor(readonly session: LinkSession) {}

  send(frame: Uint8Array): void {
    this.session.sendControl(frame);
  }

  /** Both lanes are one session: a peer that sends garbage on this one is not to be talked to on the other. */
  close(reason = 'closed here'): void {
    this.session.lose(reason);
  }
}

/**
 * The thin shell around LinkSession: mutual TLS 1.3, who is who by certificate, dialling, timers. The container with
 * the higher index dials the one with the lower.
 */
class TlsTransport implements Transport {
  events: TransportEvents = { ipc() {}, peerUp() {}, peerLost() {}, control() {} };
  readonly #options: TransportOptions;
  readonly #lostAfterMs: number;
  #identity: TransportIdentity;
  #generation = 0;
  #rotatedMs = Number.NEGATIVE_INFINITY;
  readonly #peers = new Map<number, Peer>();
  readonly #unproved = new Set<TLSSocket>();
  /** The DRVM's containers as last told. One that is not (or no longer) among them is not let in. */
  #wanted: ReadonlySet<number> = new Set();
  readonly #gate = new SendGate<LinkSession>({
    nowMs: () => performance.now(),
    wakeIn: (ms) => {
      if (this.#gateTimer !== null) clearTimeout(this.#gateTimer);
      this.#gateTimer = this.#isClosed ? null : setTimeout(() => this.#gate.wake(), Math.ceil(ms));
    },
  });
  #gateTimer: NodeJS.Timeout | null = null;
  #receivedBytes = 0;
  #server: Server | null = null;
  #ticker: NodeJS.Timeout | null = null;
  #lastTickMs = 0;
  #isClosed = false;

  constructor(options: TransportOptions) {
    this.#options = options;
    const { key, certificate, authority } = options;
    this.#identity = { key, certificate, authority };
    this.#lostAfterMs = options.lostAfterMs ?? DEFAULT_LOST_AFTER_MS;
  }

  get sent(): SendCounters {
    return this.#gate.counters;
  }

  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  setSendLimit(bytesPerSecond: number): void {
    this.#gate.setRate(bytesPerSecond);
  }

  get port(): number {
    return (this.#server?.address() as AddressInfo | null)?.port ?? 0;
  }

  async start(): Promise<void> {
    const { listen } = this.#options;
    const { key, certificate, authority } = this.#identity;
    const server = createServer({
      key,
      cert: certificate,
      ca: authority,
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.3',
      handshakeTimeout: HANDSHAKE_MS,
      noDelay: true,
    });
    server.maxConnections = MAX_CONNECTIONS;
    server.on('secureConnection', (socket) => this.#accepted(socket));
    // Strangers, port scanners, other DRVMs: refused by TLS; nothing to do for us.
    server.on('tlsClientError', (_error, socket) => socket.destroy());
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        reject(
          new DrvsError('StateConflict', `cannot listen on ${listen.host}:${listen.port}: ${error.message}`, {
            hint:
              error.code === 'EADDRINUSE'
                ? 'Another process holds the port; choose another or stop it.'
                : undefined,
            cause: error,
          }),
        );
      });
      server.listen(listen.port, listen.host, () => {
        server.removeAllListeners('error');
        server.on('error', (error) => console.error(`transport: ${error.message}`));
        resolve();
      });
    });
    this.#lastTickMs = performance.now();
    const everyMs = Math.min(500, Math.max(10, this.#lostAfterMs / 12));
    this.#ticker = setInterval(() => this.#tick(everyMs), everyMs);
    for (const peer of this.#peers.values()) this.#dial(peer);
  }

  setPeers(peers: readonly ContainerPeer[]): void {
    const wanted = new Set(peers.map((p) => p.index));
    this.#wanted = wanted;
    for (const peer of [...this.#peers.values()]) if (!wanted.has(peer.index)) this.#remove(peer, LEFT_DRVM);
    for (const { index, host, port } of peers) {
      if (index === this.#options.index) continue;
      const peer = this.#peer(index);
      const isSame = peer.address?.host === host && peer.address.port === port;
      peer.address = { host, port };
      if (isSame || peer.socket !== null) continue;
      peer.retryMs = FIRST_RETRY_MS;
      if (peer.retryTimer !== null) clearTimeout(peer.retryTimer);
      peer.retryTimer = null;
      this.#dial(peer);
    }
  }

  sendIpc(peer: number, frame: Uint8Array): boolean {
    return this.#peers.get(peer)?.session.sendIpc(frame) ?? false;
  }

  control(peer: number): RpcPeer | undefined {
    return this.#peers.get(peer)?.rpc ?? undefined;
  }

  isUp(peer: number): boolean {
    return this.#peers.get(peer)?.session.isUp ?? false;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#ticker !== null) clearInterval(this.#ticker);
    if (this.#gateTimer !== null) clearTimeout(this.#gateTimer);
    for (const peer of [...this.#peers.values()]) this.#remove(peer, 'this container stops');
    for (const socket of this.#unproved) socket.destroy();
    const server = this.#server;
    if (server?.listening) await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  #peer(index: number): Peer {
    const known = this.#peers.get(index);
    if (known !== undefined) return known;
    const session: LinkSession = new LinkSession({
      index: this.#options.index,
      peerIndex: index,
      incarnation: this.#options.incarnation,
      lostAfterMs: this.#lostAfterMs,
      newSessionId: () => randomBytes(12).toString('hex'),
      port: {
        write: (bytes) => {
          if (peer.socket === null) return true;
          this.#gate.sent(bytes.length);
          return peer.socket.write(bytes);
        },
        room: () => this.#gate.room(session),
        disconnect: (reason) => this.#detach(peer, reason),
        wantsFlush: () => this.#flushSoon(peer),
        ipc: (frame) => this.events.ipc(index, frame),
        control: (frame) => peer.pipe?.onFrame?.(frame),
        drained: () => this.events.drained?.(index),
        renew: () => this.#renew(peer),
        up: (incarnation, version) => {
          peer.retryMs = FIRST_RETRY_MS;
          peer.pipe = new ControlPipe(session);
          peer.rpc = new RpcPeer(peer.pipe, `container ${index}`);
          this.events.peerUp(index, incarnation, version);
          if (peer.rpc !== null) this.events.control(index, peer.rpc);
        },
        lost: (reason) => {
          const { pipe } = peer;
          peer.pipe = null;
          peer.rpc = null;
          pipe?.onClose?.(reason);
          this.events.peerLost(index, reason);
        },
      },
    });
    const peer: Peer = new Peer(index, session);
    this.#peers.set(index, peer);
    return peer;
  }

  #remove(peer: Peer, reason: string): void {
    this.#peers.delete(peer.index);
    this.#gate.leave(peer.session);
    if (peer.retryTimer !== null) clearTimeout(peer.retryTimer);
    peer.address = null;
    const { socket } = peer;
    if (socket === null) {
      peer.session.lose(reason);
      return;
    }
    // goodbye disconnects; let what it wrote leave first.
    socket.setTimeout(1_000, () => socket.destroy());
    peer.session.goodbye(reason);
  }

  // ── connections ──────────────────────────────────────────────────────────────────────────────────────────────

  #accepted(socket: TLSSocket): void {
    const index = peerIndexOf(socket, this.#options.drvmId);
    // TLS has checked the signature; the name says which container it is. Lower ones are dialled, not awaited.
    if (this.#isClosed || index === undefined || index <= this.#options.index || !this.#wanted.has(index)) {
      socket.on('error', () => {});
      socket.destroy();
      return;
    }
    this.#attach(this.#peer(index), socket, this.#generation);
  }

  #dial(peer: Peer): void {
    if (this.#isClosed || this.#server === null || peer.address === null || peer.socket !== null) return;
    if (peer.index > this.#options.index || peer.retryTimer !== null) return;
    this.#connect(peer, () => this.#dialLater(peer));
  }

  rotate(identity: TransportIdentity): void {
    const { key, certificate, authority } = identity;
    this.#server?.setSecureContext({ key, cert: certificate, ca: authority, minVersion: 'TLSv1.3' });
    this.#identity = { key, certificate, authority };
    this.#generation++;
    this.#rotatedMs = performance.now();
    for (const peer of this.#peers.values()) this.#renewSoon(peer);
  }

  /** Replaces the connection, or asks the one who dialled it to. */
  #renewSoon(peer: Peer): void {
    if (peer.socket === null || peer.generation === this.#generation) return;
    if (peer.index < this.#options.index) this.#renew(peer);
    else peer.session.askRenewal();
  }

  /** A new connection beside the present one, which it replaces once it has proved the peer. */
  #renew(peer: Peer): void {
    const mayDial = peer.index < this.#options.index && peer.address !== null && peer.retryTimer === null;
    if (this.#isClosed || !mayDial || peer.socket === null || peer.isRenewing) return;
    peer.isRenewing = true;
    this.#connect(peer, () => {
      peer.isRenewing = false;
      if (peer.socket === null) this.#dialLater(peer);
    });
  }

  /** One attempt; `failed` when it came to nothing. */
  #connect(peer: Peer, failed: () => void): void {
    const { drvmId } = this.#options;
    const { key, certificate, authority } = this.#identity;
    const generation = this.#generation;
    const socket = connect({
      ...peer.address!,
      key,
      cert: certificate,
      ca: authority,
      minVersion: 'TLSv1.3',
      // The name is the container's, not the host's.
      checkServerIdentity: (_host, seen) =>
        seen.subject.CN === containerName(drvmId, peer.index)
          ? undefined
          : new Error(`the certificate is ${String(seen.subject.CN)}'s`),
    });
    socket.setNoDelay(true);
    this.#unproved.add(socket);
    const giveUp = setTimeout(() => socket.destroy(), HANDSHAKE_MS);
    peer.retryTimer = giveUp;
    const retry = () => {
      clearTimeout(giveUp);
      this.#unproved.delete(socket);
      if (peer.retryTimer === giveUp) peer.retryTimer = null;
      failed();
    };
    socket.on('error', () => {});
    socket.once('close', retry);
    socket.once('secureConnect', () => {
      clearTimeout(giveUp);
      this.#unproved.delete(socket);
      if (peer.retryTimer === giveUp) peer.retryTimer = null;
      socket.off('close', retry);
      if (this.#isClosed || this.#peers.get(peer.index) !== peer || !socket.authorized) socket.destroy();
      else this.#attach(peer, socket, generation);
    });
  }

  #dialLater(peer: Peer): void {
    if (this.#isClosed || this.#peers.get(peer.index) !== peer || peer.index > this.#options.index) return;
    if (peer.retryTimer !== null || peer.socket !== null) return;
    peer.retryTimer = setTimeout(() => {
      peer.retryTimer = null;
      this.#dial(peer);
    }, peer.retryMs);
    peer.retryMs = Math.min(LAST_RETRY_MS, peer.retryMs * 2);
  }

  #attach(peer: Peer, socket: TLSSocket, generation: number): void {
    if (peer.socket !== null) this.#detach(peer, 'a newer connection came');
    peer.socket = socket;
    peer.generation = generation;
    peer.isRenewing = false;
    socket.on('data', (chunk: Buffer) => {
      if (peer.socket !== socket) return;
      this.#receivedBytes += chunk.length;
      peer.session.receive(chunk, performance.now());
      if (peer.session.isUp) peer.retryMs = FIRST_RETRY_MS;
    });
    socket.on('drain', () => {
      if (peer.socket === socket) peer.session.writable();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      if (peer.socket === socket) this.#detach(peer, 'closed');
    });
    peer.session.connected(performance.now());
  }

  #detach(peer: Peer, _reason: string): void {
    const { socket } = peer;
    peer.socket = null;
    peer.session.disconnected(performance.now());
    if (socket !== null && !socket.destroyed) {
      // What is written (a goodbye) still leaves; a peer that does not read is cut off.
      socket.setTimeout(1_000, () => socket.destroy());
      socket.removeAllListeners('data');
      socket.resume();
      socket.end();
    }
    this.#dialLater(peer);
  }

  /**
   * Frames that come of one piece of input leave in one write, at once; under load, those of all pieces that have been read.
   */
  #flushSoon(peer: Peer): void {
    if (peer.isFlushDue) return;
    peer.isFlushDue = true;
    process.nextTick(() => {
      if (peer.session.isUnderLoad) setImmediate(() => this.#flush(peer));
      else this.#flush(peer);
    });
  }

  #flush(peer: Peer): void {
    peer.isFlushDue = false;
    peer.session.flush();
  }

  #tick(everyMs: number): void {
    const nowMs = performance.now();
    const stalledMs = Math.max(0, nowMs - this.#lastTickMs - 2 * everyMs);
    this.#lastTickMs = nowMs;
    for (const peer of [...this.#peers.values()]) {
      peer.session.tick(nowMs, stalledMs);
      if (peer.socket === null || peer.generation === this.#generation) continue;
      if (nowMs - this.#rotatedMs > ROTATION_GRACE_MS) this.#detach(peer, 'its certificates were replaced');
      else this.#renewSoon(peer);
    }
  }
}

/** The index in the certificate of who connected; undefined when it is not of this DRVM. */
function peerIndexOf(socket: TLSSocket, drvmId: string): number | undefined {
  if (!socket.authorized) return undefined;
  const name: unknown = socket.getPeerCertificate().subject?.CN;
  if (typeof name !== 'string') return undefined;
  const at = name.lastIndexOf(':');
  const index = Number(name.slice(at + 1));
  return Number.isInteger(index) && index >= 0 && index <= 1023 && name === containerName(drvmId, index)
    ? index
    : undefined;
}

export function createTransport(options: TransportOptions): Transport {
  return new TlsTransport(options);
}
