import { statSync } from 'node:fs';
import { ContainerEvent, ContainerMethods, DrvsError, type RpcHandler, RpcPeer } from '@drvs/contracts';
import type { z } from 'zod';
import { connectSocket, SocketPipe } from '../pipes/unix-socket-pipe.js';

export type ContainerStatus = z.infer<(typeof ContainerMethods)['container.status']['result']>;

export interface LinkHooks {
  instrument: RpcHandler;
  onEvent(event: ContainerEvent): void;
}

/** A container's control socket, connected. What it says is parsed: a container is not trusted. */
export class ContainerLink {
  private constructor(readonly peer: RpcPeer) {}

  /** @param uid the user that must own the socket. @throws Error when the container does not listen (yet). */
  static async open(
    path: string,
    drvmId: string,
    uid: number | null,
    hooks: LinkHooks,
  ): Promise<ContainerLink> {
    const owner = statSync(path).uid;
    const expected = uid ?? process.getuid?.() ?? owner;
    if (owner !== expected) throw new Error(`${path} belongs to user ${owner}, not ${expected}`);
    const socket = await connectSocket(path);
    const peer = new RpcPeer(new SocketPipe(socket), `the container of DRVM ${drvmId}`);
    peer.handle('loader.instrument', hooks.instrument);
    peer.onEvent('container.event', (params) => {
      const event = ContainerEvent.safeParse(params);
      // Its own DRVM only: no container may speak for another.
      if (event.success && event.data.drvmId === drvmId) hooks.onEvent(event.data);
    });
    return new ContainerLink(peer);
  }

  async status(timeoutMs: number): Promise<ContainerStatus> {
    const { result } = await this.peer.call('container.status', {}, { timeoutMs });
    const status = ContainerMethods['container.status'].result.safeParse(result);
    if (!status.success) throw new DrvsError('Internal', `container.status is not well formed`);
    return status.data;
  }
}
