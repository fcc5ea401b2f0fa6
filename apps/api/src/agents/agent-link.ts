import {
  type AgentMethod,
  AgentMethods,
  type ContainerMethod,
  ContainerMethods,
  DrvsError,
  type RpcCallOptions,
  RpcPeer,
} from '@drvs/contracts';
import type { z } from 'zod';

export type AgentParams<M extends AgentMethod> = z.input<(typeof AgentMethods)[M]['params']>;
export type AgentResult<M extends AgentMethod> = z.infer<(typeof AgentMethods)[M]['result']>;
export type ContainerParams<M extends ContainerMethod> = z.input<(typeof ContainerMethods)[M]['params']>;
export type ContainerResult<M extends ContainerMethod> = z.infer<(typeof ContainerMethods)[M]['result']>;

export interface Reply<R> {
  result: R;
  body: Uint8Array;
}

/** One connected agent. What it answers is parsed: an agent is another process, of another version perhaps. */
export class AgentLink {
  constructor(
    readonly nodeId: string,
    readonly nodeName: string,
    readonly peer: RpcPeer,
  ) {}

  async call<M extends AgentMethod>(
    method: M,
    params: AgentParams<M>,
    options: RpcCallOptions = {},
  ): Promise<Reply<AgentResult<M>>> {
    const { result, body } = await this.peer.call(method, params, options);
    return {
      result: parsed(AgentMethods[method].result, result, method, this.nodeName) as AgentResult<M>,
      body,
    };
  }

  async callContainer<M extends ContainerMethod>(
    drvmId: string,
    method: M,
    params: ContainerParams<M>,
    options: RpcCallOptions = {},
  ): Promise<Reply<ContainerResult<M>>> {
    const { result, body } = await this.call('container.call', { drvmId, method, params }, options);
    const shape = ContainerMethods[method].result;
    return { result: parsed(shape, result, method, this.nodeName) as ContainerResult<M>, body };
  }
}

function parsed(shape: z.ZodType, value: unknown, method: string, node: string): unknown {
  const outcome = shape.safeParse(value);
  if (outcome.success) return outcome.data;
  throw new DrvsError(
    'Internal',
    `The agent of ${node} answered ${method} in a shape that is not known here`,
    {
      hint: 'Agent and API should be of the same version.',
      details: { issues: outcome.error.issues.slice(0, 5) },
    },
  );
}
