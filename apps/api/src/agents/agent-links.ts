import {
  AgentMethods,
  type ContainerMethod,
  ContainerMethods,
  type RpcCallOptions,
  type RpcContext,
  withBody,
} from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { ApiProcesses } from '../api-processes/api-processes.js';
import { ApiRelay, notHere } from '../api-processes/api-relay.js';
import {
  AgentCalls,
  type AgentLink,
  type ContainerParams,
  type ContainerResult,
  type Reply,
} from './agent-link.js';

/** What one API process asks of the other that holds the channel of an agent. */
const RELAYED = 'agent.call';
const Relayed = z.object({
  nodeId: z.string(),
  method: z.enum(Object.keys(AgentMethods) as [keyof typeof AgentMethods]),
  params: z.unknown(),
});
const StatusCall = z.object({ drvmId: z.string(), method: z.literal('container.status') });

/** The agents whose channel this process holds, at most one link a node; and the way to those of other processes. */
@Injectable()
export class AgentLinks {
  readonly #links = new Map<string, AgentLink>();

  constructor(
    private readonly processes: ApiProcesses,
    private readonly relay: ApiRelay,
  ) {
    relay.handle(RELAYED, (params, context) => this.#answer(params, context));
  }

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

  /** Of this process. */
  get(nodeId: string): AgentLink | undefined {
    return this.#links.get(nodeId);
  }

  /** Of this process. */
  all(): AgentLink[] {
    return [...this.#links.values()];
  }

  /** Of this process. @throws DrvsError NodeUnreachable */
  require(nodeId: string, nodeName = nodeId): AgentLink {
    const link = this.#links.get(nodeId);
    if (link) return link;
    throw notHere(nodeName);
  }

  /** The agent of a node, whichever process holds its channel. @throws DrvsError NodeUnreachable when none does */
  async reach(nodeId: string, nodeName = nodeId): Promise<AgentCalls> {
    const link = this.#links.get(nodeId);
    if (link) return link;
    const holder = await this.processes.holderOf(nodeId);
    if (holder === null || holder === this.processes.id) throw notHere(nodeName);
    return new AgentCalls(nodeId, nodeName, (method, params, options) =>
      this.relay.to(holder).call(RELAYED, { nodeId, method, params }, options),
    );
  }

  async callContainer<M extends ContainerMethod>(
    node: { id: string; name: string },
    drvmId: string,
    method: M,
    params: ContainerParams<M>,
    options: RpcCallOptions = {},
  ): Promise<Reply<ContainerResult<M>>> {
    const agent = await this.reach(node.id, node.name);
    return agent.callContainer(drvmId, method, params, options);
  }

  /** Hands on what another process asks: its own time limit and cancellation hold. */
  async #answer(asked: unknown, context: RpcContext): Promise<unknown> {
    const { nodeId, method, params } = Relayed.parse(asked);
    const link = this.require(nodeId);
    const { result, body } = await link.peer.call(method, params, {
      body: context.body,
      signal: context.signal,
      timeoutMs: Number.POSITIVE_INFINITY,
      onChunk: (chunk, bytes) => context.chunk(chunk, bytes),
    });
    const about = method === 'container.call' ? StatusCall.safeParse(params) : null;
    if (about?.success) {
      const status = ContainerMethods['container.status'].result.safeParse(result);
      if (status.success && status.data.state === 'running') link.sawRunning(about.data.drvmId);
    }
    return withBody(result, body);
  }
}
