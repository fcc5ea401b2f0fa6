import type { ContainerPeer, RpcPeer } from '@drvs/contracts';
import type { SendCounters } from './send-gate.js';

/** By what a container proves itself, and whom it believes. */
export interface TransportIdentity {
  /** PEM. */
  readonly key: string;
  /** PEM; its subject's CN is `drvs:<drvmId>:<index>`, its use both server and client. */
  readonly certificate: string;
  /** PEM, one or several: the DRVM's own authority; nobody else's certificates are accepted. */
  readonly authority: string;
}

/** Where this container listens for its peers, and who it is. */
export interface TransportOptions extends TransportIdentity {
  readonly drvmId: string;
  readonly index: number;
  /** Of this OS process: another one means that all state of the former is gone. */
  readonly incarnation: string;
  readonly listen: { readonly host: string; readonly port: number };
  /** A peer that is not heard for this long is lost. Default 6,000. */
  readonly lostAfterMs?: number;
}

export interface TransportEvents {
  /** In order, exactly once. The frame is the receiver's to keep. */
  ipc(peer: number, frame: Uint8Array): void;
  /** `version`: of the protocol, the greatest that both sides speak. */
  peerUp(peer: number, incarnation: string, version: number): void;
  /** The session with the peer is over; what was under way is lost. Followed by peerUp when it comes (back). */
  peerLost(peer: number, reason: string): void;
  /** The control lane of a new session; comes right after peerUp. Register handlers at once. */
  control(peer: number, rpc: RpcPeer): void;
  /** The peer takes frames again, after sendIpc answered false. */
  drained?(peer: number): void;
}

/** Frames between the containers of one DRVM: one session per pair, two lanes, over mutual TLS 1.3. */
export interface Transport {
  /** What to call; set it before start(). */
  events: TransportEvents;
  /** The port listened on (after start; useful with port 0). */
  readonly port: number;
  start(): Promise<void>;
  /** The peers now; may be called any time (a port changes when a container restarts). Own index is left out. */
  setPeers(peers: readonly ContainerPeer[]): void;
  /**
   * Reliable, ordered, exactly once while the session lives; the frame belongs to the transport from then on.
   * False: taken, but the peer is behind; wait for `drained` before sending what can wait. A peer that is not up
   * gets nothing (the frame is dropped: peerLost was or will be said).
   */
  sendIpc(peer: number, frame: Uint8Array): boolean;
  /** The control lane; undefined while the peer is not up. Closed when its session is lost. */
  control(peer: number): RpcPeer | undefined;
  isUp(peer: number): boolean;
  /**
   * Another key and certificate for this container, another authority, or both; at once for new connections. Those that are
   * open are replaced one by one, in the sessions that there are: nothing is lost and nobody is told. What still goes on
   * under the former ones after ROTATION_GRACE_MS is closed. While an authority is being changed, `authority` holds both.
   */
  rotate(identity: TransportIdentity): void;
  /** To all peers together; 0: no limit. Takes effect at once, also on what waits already. */
  setSendLimit(bytesPerSecond: number): void;
  /** Since the transport was made. */
  readonly sent: SendCounters;
  /** Come from peers since the transport was made: headers and bodies of frames, after TLS. */
  readonly receivedBytes: number;
  close(): Promise<void>;
}
