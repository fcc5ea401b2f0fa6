import { type ContainerMethod, DrvsError, type RpcCallOptions } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import type { AgentLink, ContainerParams, ContainerResult, Reply } from './agent-link.js';

/** The agents whose channel this process holds; at most one link a node. */
@Injectable()
export class AgentLinks {
  readonly #links = new Map<string, AgentLink>();

  /** The newest link of a node is the one that counts: an older one is a connection that has not noticed its end yet. */
  add(link: AgentLink): void {
    this.#links.get(link.nodeId)?.peer.close('the agent has connected again');
    this.#links.set(link.nodeId, link);
  }

  /** True when this link was the node's. */
  remove(link: AgentLink): boolean {
    if (this.#links.get(link.nodeId) !== link) return false;
    return this.#links.delete(link.nodeId);
  }

  get(nodeId: string): AgentLink | undefined {
    return this.#links.get(nodeId);
  }

  all(): AgentLink[] {
    return [...this.#links.values()];
  }

  /** @throws DrvsError NodeUnreachable */
  require(nodeId: string, nodeName = nodeId): AgentLink {
    const link = this.#links.get(nodeId);
    if (link) return link;
    throw new DrvsError('NodeUnreachable', `The agent of ${nodeName} is not connected`, {
      hint: 'Is the node up? See `drvs node list`; try again when it is back.',
    });
  }

  callContainer<M extends ContainerMethod>(
    node: { id: string; name: string },
    drvmId: string,
    method: M,
    params: ContainerParams<M>,
    options: RpcCallOptions = {},
  ): Promise<Reply<ContainerResult<M>>> {
    return this.require(node.id, node.name).callContainer(drvmId, method, params, options);
  }
}
