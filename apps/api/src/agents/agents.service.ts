import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import {
  AgentEvents,
  type AgentMethod,
  type ContainerMethod,
  type ContainerState,
  DrvsError,
  ERROR_CODES,
  MAX_FRAME_BYTES,
  NODE_DOWN_AFTER_MS,
  type RpcCallOptions,
  RpcPeer,
} from '@drvs/contracts';
import {
  type BeforeApplicationShutdown,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { FastifyInstance } from 'fastify';
import { type WebSocket, WebSocketServer } from 'ws';
import type { z } from 'zod';
import { ApiProcesses } from '../api-processes/api-processes.js';
import { sha256 } from '../auth/secrets.js';
import { Database } from '../database/database.js';
import { toProblem } from '../http/problem.filter.js';
import { JobsService } from '../jobs/jobs.service.js';
import { TelemetryIngest } from '../telemetry/telemetry-ingest.js';
import { UsageMeter } from '../usage/usage-meter.js';
import { AgentJobProcessor } from './agent-jobs.js';
import {
  AgentLink,
  type AgentParams,
  type AgentResult,
  type ContainerParams,
  type ContainerResult,
  type Reply,
} from './agent-link.js';
import { AgentLinks } from './agent-links.js';
import { BurnIn } from './burn-in.js';
import { NodeReports } from './node-reports.js';
import { Reconciliation } from './reconciliation.js';
import { refuseUpgrade, routeUpgrades } from './upgrade-router.js';
import { websocketPipe } from './websocket-pipe.js';

export const CHANNEL_PATH = '/agent/v1/channel';
/** A connection over which no heartbeat came for this long is dead, whatever TCP says. */
const SILENT_FOR_MS = 2 * NODE_DOWN_AFTER_MS;

/** Takes the agents' channels, and calls agents and their containers over them. */
@Injectable()
export class AgentsService implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #logger = new Logger('Agents');
  readonly #server = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_FRAME_BYTES,
    perMessageDeflate: false,
  });
  readonly #work = new Set<Promise<void>>();
  #closing = false;

  constructor(
    private readonly adapter: HttpAdapterHost,
    private readonly database: Database,
    private readonly jobs: JobsService,
    private readonly links: AgentLinks,
    private readonly processor: AgentJobProcessor,
    private readonly reports: NodeReports,
    private readonly reconciliation: Reconciliation,
    private readonly telemetry: TelemetryIngest,
    private readonly usage: UsageMeter,
    private readonly burnIn: BurnIn,
    private readonly processes: ApiProcesses,
  ) {}

  onApplicationBootstrap(): void {
    const fastify = this.adapter.httpAdapter.getInstance<FastifyInstance>();
    fastify.addHook('onReady', async () => {
      routeUpgrades(
        fastify.server,
        new Map([[CHANNEL_PATH, (...upgrade) => this.#supervise(this.#open(...upgrade))]]),
      );
    });
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#closing = true;
    for (const link of this.links.all()) link.peer.close('the API is going down');
    await Promise.all(this.#work);
    this.#server.close();
  }

  /** @throws DrvsError NodeUnreachable, or what the agent answered */
  async call<M extends AgentMethod>(
    nodeId: string,
    method: M,
    params: AgentParams<M>,
    options: RpcCallOptions = {},
  ): Promise<Reply<AgentResult<M>>> {
    return (await this.links.reach(nodeId)).call(method, params, options);
  }

  /**
   * Calls the container of a DRVM's slice.
   *
   * @throws DrvsError NotFound when the DRVM has no such slice, NodeUnreachable, ContainerUnreachable, or what the
   * container answered
   */
  async containerCall<M extends ContainerMethod>(
    drvmId: string,
    index: number,
    method: M,
    params: ContainerParams<M>,
    options: RpcCallOptions = {},
  ): Promise<Reply<ContainerResult<M>>> {
    const slice = await this.database.unrestricted.slice.findUnique({
      where: { drvmId_index: { drvmId, index } },
      select: { node: { select: { id: true, name: true } } },
    });
    if (!slice) throw new DrvsError('NotFound', `The DRVM has no container ${index}`);
    return this.links.callContainer(slice.node, drvmId, method, params, options);
  }

  async #open(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const node = await this.#nodeOf(request).catch((error: unknown) => DrvsError.from(error));
    if (node instanceof DrvsError || this.#closing) {
      const error =
        node instanceof DrvsError ? node : new DrvsError('NodeUnreachable', 'The API is going down');
      const { status, title } = ERROR_CODES[error.code];
      refuseUpgrade(socket, status, title, JSON.stringify(toProblem(error)));
      return;
    }
    this.#server.handleUpgrade(request, socket, head, (websocket) => this.#connected(node, websocket));
  }

  async #nodeOf(request: IncomingMessage): Promise<{ id: string; name: string }> {
    const credential = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
    const node = await this.database.unrestricted.node.findUnique({
      where: { credentialHash: sha256(credential) },
      select: { id: true, name: true },
    });
    if (node) return node;
    throw new DrvsError('NotAuthenticated', 'The credential is not that of any node', {
      hint: 'The node was removed, or enrolled again elsewhere. Enrol it with a new token (`drvs node enroll-token`).',
    });
  }

  #connected(node: { id: string; name: string }, websocket: WebSocket): void {
    const peer = new RpcPeer(websocketPipe(websocket), `the agent of ${node.name}`);
    const link = new AgentLink(node.id, node.name, peer);
    const silence = setTimeout(() => {
      peer.close('no heartbeat came');
      websocket.terminate();
    }, SILENT_FOR_MS);
    this.#onEvent(link, 'heartbeat', async (heartbeat, receivedAt) => {
      silence.refresh();
      const containers = link.upToDate(heartbeat.containers);
      this.telemetry.take(node.id, heartbeat, containers);
      this.usage.take(node.id, containers, receivedAt);
      const isKnown = await this.reports.heartbeat(node.id, { ...heartbeat, containers }, receivedAt);
      if (isKnown) await this.reconciliation.compare(link, containers);
      else peer.close('the node was removed');
    });
    this.#onEvent(link, 'inventory', (inventory) => this.reports.inventory(node.id, node.name, inventory));
    this.#onEvent(link, 'container.event', (event) => this.reports.containerEvent(node.id, event));
    this.links.add(link);
    this.#supervise(this.processes.hold(node.id));
    this.jobs.nodes.serve(node.id, (name, data, signal) =>
      this.processor.perform(node.id, name, data, signal),
    );
    peer.onClosed((reason) => {
      clearTimeout(silence);
      if (!this.links.remove(link)) return;
      this.#logger.log(`${node.name} is disconnected: ${reason}`);
      this.#supervise(this.processes.letGo(node.id));
      this.#supervise(this.jobs.nodes.stopServing(node.id));
    });
    this.#logger.log(`${node.name} is connected`);
    this.#supervise(this.#greet(link));
  }

  /** What the node holds is compared with the ledger at once; the heartbeats do it from then on. */
  async #greet(link: AgentLink): Promise<void> {
    await this.reports.seen(link.nodeId);
    this.#supervise(this.burnIn.checkIfPending(link));
    const { result } = await link.call('drvm.list', {});
    await this.#report(link, result);
  }

  async #report(link: AgentLink, containers: readonly ContainerState[]): Promise<void> {
    await this.reports.containers(link.nodeId, { containers, receivedAt: performance.now() });
    await this.reconciliation.compare(link, containers);
  }

  /** Events of one kind are worked off one after another; of heartbeats only the newest waits. */
  #onEvent<E extends keyof typeof AgentEvents>(
    link: AgentLink,
    event: E,
    work: (params: z.infer<(typeof AgentEvents)[E]>, receivedAt: number) => Promise<void>,
  ): void {
    let last: Promise<void> = Promise.resolve();
    let waiting = 0;
    link.peer.onEvent(event, (params) => {
      const receivedAt = performance.now();
      const parsed = AgentEvents[event].safeParse(params);
      if (!parsed.success) {
        this.#logger.warn(
          `${link.nodeName} sent an event ${event} that is not well formed: ${parsed.error.message}`,
        );
        return;
      }
      if (event === 'heartbeat' && waiting > 1) return;
      waiting++;
      last = last
        .then(() => work(parsed.data as z.infer<(typeof AgentEvents)[E]>, receivedAt))
        .finally(() => waiting--)
        .catch((error: unknown) => this.#logFailure(error));
      this.#supervise(last);
    });
  }

  #supervise(work: Promise<void>): void {
    const supervised = work
      .catch((error: unknown) => this.#logFailure(error))
      .finally(() => this.#work.delete(supervised));
    this.#work.add(supervised);
  }

  #logFailure(error: unknown): void {
    const { code, message, stack } = DrvsError.from(error);
    if (this.#closing) return;
    if (code === 'Internal') this.#logger.error(message, error instanceof Error ? error.stack : stack);
    else this.#logger.warn(message);
  }
}
