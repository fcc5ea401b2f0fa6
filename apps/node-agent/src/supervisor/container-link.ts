import { lstatSync } from 'node:fs';
import { ContainerEvent, ContainerMethods, DrvsError, type RpcHandler, RpcPeer } from '@drvs/contracts';
import type { z } from 'zod';
import { connectSocket, SocketPipe } from '../pipes/unix-socket-pipe.js';

export type ContainerStatus = z.infer<(typeof ContainerMethods)['container.status']['result']>;

const STATUS_TIMEOUT_MS = 10_000;

export interface LinkHooks {
  instrument: RpcHandler;
  onEvent(event: ContainerEvent): void;
}

/** A container's control socket, connected. What it says is parsed: a container is not trusted. */
export class ContainerLink {
  private constructor(
    readonly peer: RpcPeer,
    private readonly drvmId: string,
  ) {}

  /**
   * The folder of the socket is the container's own, so what lies there is looked at twice: it must be a socket of the
   * user that this container runs as, and whoever answers must be this DRVM. Else one that was taken over could lead
   * its callers to another DRVM.
   *
   * @param uid null: the agent's own user. @throws Error when the container does not listen (yet).
   */
  static async open(
    path: string,
    drvmId: string,
    uid: number | null,
    hooks: LinkHooks,
  ): Promise<ContainerLink> {
    const file = lstatSync(path);
    const expected = uid ?? process.getuid?.() ?? file.uid;
    if (!file.isSocket()) throw new Error(`${path} is not a socket`);
    if (file.uid !== expected) throw new Error(`${path} belongs to user ${file.uid}, not ${expected}`);
    const socket = await connectSocket(path);
    const peer = new RpcPeer(new SocketPipe(socket), `the container of DRVM ${drvmId}`);
    peer.handle('loader.instrument', hooks.instrument);
    peer.onEvent('container.event', (params) => {
      const event = ContainerEvent.safeParse(params);
      // Its own DRVM only: no container may speak for another.
      if (event.success && event.data.drvmId === drvmId) hooks.onEvent(event.data);
    });
    const link = new ContainerLink(peer, drvmId);
    try {
      await link.status();
    } catch (error) {
      peer.close();
      throw error;
    }
    return link;
  }

  async status(): Promise<ContainerStatus> {
    const { result } = await this.peer.call('container.status', {}, { timeoutMs: STATUS_TIMEOUT_MS });
    const status = ContainerMethods['container.status'].result.safeParse(result);
    if (!status.success) throw new DrvsError('Internal', `container.status is not well formed`);
    if (status.data.drvmId !== this.drvmId) throw new Error('it says that it is another DRVM');
    return status.data;
  }
}
