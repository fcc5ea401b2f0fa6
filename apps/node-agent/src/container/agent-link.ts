import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ContainerEvent,
  type ContainerMethod,
  ContainerMethods,
  DrvsError,
  type RpcContext,
  RpcPeer,
} from '@drvs/contracts';
import { SocketPipe, withSocketPath } from '../pipes/unix-socket-pipe.js';

/** An agent, the one that comes after it, and somebody who looks. */
const CONNECTIONS_MAX = 8;
/** Events kept while no agent is there; the oldest go first. */
const EVENTS_KEPT_MAX = 1_000;
/** An agent that is restarted is back within this time. */
const AGENT_BACK_WITHIN_MS = 60_000;
const WAIT_STEP_MS = 100;
const INSTRUMENT_TIMEOUT_MS = 300_000;

export type Serve = (method: ContainerMethod, params: unknown, context: RpcContext) => Promise<unknown>;

/**
 * The container's end of its control socket. Agents come and go; the container does not depend on one: calls to the
 * agent wait until one is there, events are kept, garbage costs its sender the connection and nothing else.
 */
export class AgentLink {
  readonly #server: Server;
  /** The newest last. */
  readonly #agents: RpcPeer[] = [];
  #kept: ContainerEvent[] = [];

  constructor(private readonly serve: Serve) {
    this.#server = createServer((socket) => {
      if (this.#agents.length >= CONNECTIONS_MAX) return socket.destroy();
      const peer = new RpcPeer(new SocketPipe(socket), 'the agent');
      for (const method of Object.keys(ContainerMethods) as ContainerMethod[]) {
        peer.handle(method, (params, context) => this.serve(method, params, context));
      }
      this.#agents.push(peer);
      peer.onClosed(() => this.#agents.splice(this.#agents.indexOf(peer), 1));
      const kept = this.#kept;
      this.#kept = [];
      for (const event of kept) peer.emit('container.event', event);
    });
  }

  /** Listens on the socket, which nobody but this user (and root) can open. */
  async listen(path: string): Promise<void> {
    rmSync(path, { force: true });
    await withSocketPath(
      path,
      (short, done) =>
        new Promise<void>((resolve, reject) => {
          this.#server.once('error', (error) => {
            done();
            reject(error);
          });
          // The umask (077) already makes the socket private from its first moment.
          this.#server.listen({ path: short }, () => {
            chmodSync(path, 0o600);
            done();
            resolve();
          });
        }),
    );
  }

  emit(event: ContainerEvent): void {
    const agent = this.#agents.at(-1);
    if (agent) {
      agent.emit('container.event', event);
      return;
    }
    this.#kept.push(event);
    if (this.#kept.length > EVENTS_KEPT_MAX) this.#kept.shift();
  }

  /** Has the agent make a program ready to run. @returns the instrumented module. */
  async instrument(sha256: string, module: Uint8Array): Promise<Uint8Array> {
    for (;;) {
      const agent = await this.#agent();
      try {
        const body = { body: module, timeoutMs: INSTRUMENT_TIMEOUT_MS };
        return (await agent.call('loader.instrument', { sha256 }, body)).body;
      } catch (error) {
        // The agent went away in the middle: the next one is asked; the same program twice is the same work.
        if (!agent.isClosed) throw error;
      }
    }
  }

  close(): void {
    for (const agent of [...this.#agents]) agent.close('the container ends');
    this.#server.close();
  }

  async #agent(): Promise<RpcPeer> {
    const deadline = performance.now() + AGENT_BACK_WITHIN_MS;
    while (performance.now() < deadline) {
      const agent = this.#agents.at(-1);
      if (agent) return agent;
      await sleep(WAIT_STEP_MS);
    }
    throw new DrvsError('NodeUnreachable', "this node's agent is not there, and new programs need it", {
      hint: 'Start the agent of this node. Programs that have run here before start without it.',
    });
  }
}
