import {
  type AgentMethod,
  AgentMethods,
  type ContainerMethod,
  ContainerMethods,
  type ContainerState,
  DrvsError,
  HEARTBEAT_MS,
  type RpcCallOptions,
  RpcPeer,
  type RpcReply,
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

/**
 * An agent looks at its containers every heartbeat and reports what it saw at the one before: for so long its report
 * may be older than what a container itself has answered.
 */
const REPORT_LAG_MS = 2 * HEARTBEAT_MS + 1_000;

/** Calls to an agent. What it answers is parsed: an agent is another process, of another version perhaps. */
export class AgentCalls {
  constructor(
    readonly nodeId: string,
    readonly nodeName: string,
    private readonly send: (
      method: AgentMethod,
      params: unknown,
      options: RpcCallOptions,
    ) => Promise<RpcReply>,
  ) {}

  async call<M extends AgentMethod>(
    method: M,
    params: AgentParams<M>,
    options: RpcCallOptions = {},
  ): Promise<Reply<AgentResult<M>>> {
    const { result, body } = await this.send(method, params, options);
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

/** One agent that is connected to this process. */
export class AgentLink extends AgentCalls {
  readonly #seenRunning = new Map<string, number>();

  constructor(
    nodeId: string,
    nodeName: string,
    readonly peer: RpcPeer,
  ) {
    super(nodeId, nodeName, (method, params, options) => peer.call(method, params, options));
  }

  /** A container has said itself that it runs. */
  sawRunning(drvmId: string): void {
    this.#seenRunning.set(drvmId, Date.now());
  }

  /** Reports with what their containers have answered since. */
  upToDate(reports: readonly ContainerState[]): ContainerState[] {
    return reports.map((report) => {
      const seenAt = this.#seenRunning.get(report.drvmId);
      if (seenAt === undefined) return report;
      if (Date.now() - seenAt > REPORT_LAG_MS) this.#seenRunning.delete(report.drvmId);
      else if (report.state === 'starting' || report.state === 'degraded')
        return { ...report, state: 'running' };
      return report;
    });
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
