import { setTimeout as sleep } from 'node:timers/promises';
import { MAX_FRAME_BYTES, RpcPeer } from '@drvs/contracts';
import { WebSocket } from 'ws';
import type { Log } from '../log.js';
import { WebSocketPipe } from '../pipes/web-socket-pipe.js';
import { ReconnectPolicy } from './reconnect-policy.js';

const CONNECT_TIMEOUT_MS = 15_000;
/** Events kept for the API while it is away; the oldest go first. */
const EVENTS_KEPT_MAX = 2_000;
/** Connected this long counts as a working channel. */
const STEADY_AFTER_MS = 5_000;

export interface ChannelSettings {
  /** http(s) address of the API. */
  apiUrl: string;
  credential: string;
  log: Log;
  /** Sets the handlers of a new connection and says what the API must know first. */
  onConnected(peer: RpcPeer): void;
}

class Refused extends Error {}

/** The channel to the API: kept open for ever, whatever happens to the API; nothing on the node waits for it. */
export class Channel {
  readonly #policy = new ReconnectPolicy();
  #peer: RpcPeer | null = null;
  #kept: { name: string; params: unknown }[] = [];

  constructor(private readonly settings: ChannelSettings) {}

  get isConnected(): boolean {
    return this.#peer !== null;
  }

  /** Sends an event now, or forgets it: it will be said again anyway (inventory, heartbeat). */
  emit(name: string, params: unknown): void {
    this.#peer?.emit(name, params);
  }

  /** Sends an event now, or when the API is back. */
  emitKept(name: string, params: unknown): void {
    if (this.#peer) {
      this.#peer.emit(name, params);
      return;
    }
    this.#kept.push({ name, params });
    if (this.#kept.length > EVENTS_KEPT_MAX) this.#kept.shift();
  }

  /** Runs until aborted. */
  async run(aborted: AbortSignal): Promise<void> {
    const { log, apiUrl } = this.settings;
    while (!aborted.aborted) {
      let wasRefused = false;
      let reason: string;
      try {
        const connectedAt = performance.now();
        reason = await this.#connection(aborted);
        if (performance.now() - connectedAt > STEADY_AFTER_MS) this.#policy.reset();
      } catch (error) {
        wasRefused = error instanceof Refused;
        reason = (error as Error).message;
      }
      if (aborted.aborted) return;
      const delayMs = Math.round(this.#policy.next(wasRefused));
      if (wasRefused) {
        log.error(
          { reason, apiUrl, retryMs: delayMs },
          'the API does not accept this node: its credential is revoked or the node was removed. ' +
            'Containers go on running. To enrol the node anew, remove credential.json from its data folder ' +
            'and start the agent with a new DRVS_ENROL_TOKEN.',
        );
      } else log.warn({ reason, apiUrl, retryMs: delayMs }, 'not connected to the API');
      await sleep(delayMs, undefined, { signal: aborted }).catch(() => {});
    }
  }

  /** One connection, from its opening to its end. @returns why it ended. */
  async #connection(aborted: AbortSignal): Promise<string> {
    const peer = await this.#open();
    const ended = new Promise<string>((resolve) => peer.onClosed(resolve));
    const onAbort = () => peer.close('the agent goes');
    aborted.addEventListener('abort', onAbort, { once: true });
    if (aborted.aborted) onAbort();
    this.#peer = peer;
    const kept = this.#kept;
    this.#kept = [];
    for (const { name, params } of kept) peer.emit(name, params);
    this.settings.log.info({ apiUrl: this.settings.apiUrl }, 'connected to the API');
    try {
      return await ended;
    } finally {
      this.#peer = null;
      aborted.removeEventListener('abort', onAbort);
    }
  }

  #open(): Promise<RpcPeer> {
    const url = `${this.settings.apiUrl.replace(/^http/, 'ws')}/agent/v1/channel`;
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(url, {
        headers: { authorization: `Bearer ${this.settings.credential}` },
        handshakeTimeout: CONNECT_TIMEOUT_MS,
        maxPayload: MAX_FRAME_BYTES,
        perMessageDeflate: false,
      });
      socket.once('open', () => {
        // All in this turn: the API may call at once, and no frame may find nobody.
        const peer = new RpcPeer(new WebSocketPipe(socket), 'the API');
        this.settings.onConnected(peer);
        resolve(peer);
      });
      socket.on('error', reject);
      socket.once('unexpected-response', (_request, response) => {
        const { statusCode } = response;
        response.destroy();
        const wasRefused = statusCode === 401 || statusCode === 403;
        reject(
          wasRefused ? new Refused(`answered ${statusCode}`) : new Error(`the API answered ${statusCode}`),
        );
      });
    });
  }
}
