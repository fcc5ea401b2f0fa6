import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import {
  type AgentMethod,
  AgentMethods,
  type ContainerSpec,
  type ContainerState,
  DrvsError,
  type EnrolmentAnswer,
  type Heartbeat,
  NODE_CHECKS,
  type NodeCheck,
  type NodeInventory,
  type ResourceAmounts,
  type RpcContext,
  RpcPeer,
  type WitnessMark,
} from '@drvs/contracts';
import * as x509 from '@peculiar/x509';
import { WebSocket } from 'ws';
import { websocketPipe } from '../../apps/api/src/agents/websocket-pipe.js';
import { witness } from '../../apps/node-agent/src/power/witness.js';

const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

export type ContainerCall = (
  drvmId: string,
  method: string,
  params: Record<string, unknown>,
  context: RpcContext,
) => unknown | Promise<unknown>;

/**
 * The agent's end of the channel: it speaks the protocol and keeps the state of containers, but runs none. For tests
 * of the API alone; what an agent really does is tested with real ones.
 */
export class AgentPeer {
  readonly containers = new Map<string, ContainerState>();
  /** Nodes that its containers have no link to. */
  readonly unreachable = new Set<string>();
  readonly specs = new Map<string, ContainerSpec>();
  /** What the container of a DRVM would use of the CPU, in thousandths; it uses that, or what its limit lets it. */
  readonly wantsCpu = new Map<string, number>();
  readonly calls: { method: AgentMethod; drvmId: string | undefined }[] = [];
  /** Called before a method does its work; what it throws is the answer, what it waits for delays it. */
  before: (method: AgentMethod, drvmId: string | undefined, params: unknown) => void | Promise<void> = () =>
    undefined;
  containerCall: ContainerCall = (_, method) => {
    throw new DrvsError('NotFound', `no ${method} here`);
  };
  /** Switches the host off, where it is let. */
  shutdown: () => void | Promise<void> = () => {
    throw new DrvsError('StateConflict', 'this agent may not switch its host off');
  };
  /** Tries to reach another node, for real. */
  witness: (target: { host: string; port: number }, timeoutMs: number) => Promise<WitnessMark> = witness;
  /** What its host has drawn since the agent started. */
  energy: Heartbeat['energy'];
  #credential = '';
  #peer: RpcPeer | null = null;
  #socket: WebSocket | null = null;
  #beats: NodeJS.Timeout | null = null;
  #requests = new Map<string, Promise<string>>();
  #workedAt: number | null = null;
  nodeId = '';

  constructor(
    readonly url: string,
    readonly name: string,
    readonly offered: ResourceAmounts = {
      cpuMilli: 4_000,
      memoryMiB: 4_096,
      diskGiB: 100,
      networkMbps: 1_000,
    },
    readonly heartbeatMs = 200,
  ) {}

  inventory(offered = this.offered): NodeInventory {
    return {
      hostname: `${this.name}.test`,
      arch: 'x64',
      os: 'Debian 12',
      kernel: '6.1',
      cpuModel: 'test',
      host: offered,
      offered,
      interfaces: [{ name: 'eth0', mac: null, addresses: ['192.0.2.1'], speedMbps: 1_000, state: 'up' }],
      devices: [],
      traits: [],
      enforcement: { cpu: 'fuel-only', memory: 'kernel-only', namespaces: [], user: 'shared-uid', notes: [] },
      agentVersion: '0.1.0',
    };
  }

  async enrol(token: string): Promise<Response> {
    const response = await fetch(`${this.url}/agent/v1/enrol`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token, name: this.name, inventory: this.inventory() }),
    });
    if (response.ok) {
      const answer = (await response.clone().json()) as EnrolmentAnswer;
      this.#credential = answer.credential;
      this.nodeId = answer.nodeId;
    }
    return response;
  }

  /** @throws Error with the HTTP status when the API refuses the channel */
  async connect(credential = this.#credential): Promise<void> {
    const socket = new WebSocket(`${this.url.replace('http', 'ws')}/agent/v1/channel`, {
      headers: { authorization: `Bearer ${credential}` },
    });
    await new Promise<void>((resolve, reject) => {
      socket.once('open', resolve);
      socket.once('unexpected-response', (_, response) => reject(new Error(`HTTP ${response.statusCode}`)));
      socket.once('error', reject);
    });
    socket.on('error', () => undefined);
    const peer = new RpcPeer(websocketPipe(socket), 'the API');
    for (const method of Object.keys(AgentMethods) as AgentMethod[]) {
      peer.handle(method, (params, context) => this.#serve(method, params, context));
    }
    this.#socket = socket;
    this.#peer = peer;
    peer.emit('inventory', this.inventory());
    this.beat();
    this.#beats = setInterval(() => this.beat(), this.heartbeatMs);
    peer.onClosed(() => {
      if (this.#beats) clearInterval(this.#beats);
    });
  }

  /** Keeps connecting again, as an agent does, until `disconnect`. */
  async stayConnected(): Promise<void> {
    this.#staying = true;
    while (this.#staying) {
      try {
        await this.connect();
        await new Promise<void>((resolve) => this.#peer?.onClosed(() => resolve()));
      } catch {
        // The API is away; it comes back.
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  #staying = false;

  get isConnected(): boolean {
    return this.#peer !== null && !this.#peer.isClosed;
  }

  emit(name: string, params: unknown): void {
    this.#peer?.emit(name, params);
  }

  beat(): void {
    this.#work();
    this.#peer?.emit('heartbeat', {
      at: new Date().toISOString(),
      used: { cpuMilli: 100.4, memoryMiB: 512, diskGiB: 1, networkMbps: 0 },
      load1: 0.1,
      energy: this.energy,
      containers: [...this.containers.values()],
    });
  }

  /** Counts up the CPU time of the containers. */
  #work(): void {
    const now = performance.now();
    const passedMs = now - (this.#workedAt ?? now);
    this.#workedAt = now;
    for (const [drvmId, wanted] of this.wantsCpu) {
      const state = this.containers.get(drvmId);
      if (!state) continue;
      const milli = Math.min(wanted, this.specs.get(drvmId)?.limits.cpuMilli ?? 0);
      this.containers.set(drvmId, { ...state, cpuMs: state.cpuMs + (passedMs * milli) / 1_000 });
    }
  }

  disconnect(): void {
    this.#staying = false;
    if (this.#beats) clearInterval(this.#beats);
    this.#peer?.close('the agent ends');
    this.#socket?.terminate();
    this.#peer = null;
  }

  async #serve(method: AgentMethod, raw: unknown, context: RpcContext): Promise<unknown> {
    const drvmId = (raw as { drvmId?: string }).drvmId;
    if (method !== 'container.call' && method !== 'drvm.list') this.calls.push({ method, drvmId });
    await this.before(method, drvmId, raw);
    switch (method) {
      case 'drvm.prepare': {
        const { drvmId: id, index } = AgentMethods[method].params.parse(raw);
        const request = this.#requests.get(id) ?? certificateRequest();
        this.#requests.set(id, request);
        return { certificateRequest: await request, host: '127.0.0.1', port: 20_000 + index };
      }
      case 'drvm.start': {
        const spec = AgentMethods[method].params.parse(raw);
        this.specs.set(spec.drvmId, spec);
        const state = containerState(spec.drvmId, spec.generation, 'running');
        this.containers.set(spec.drvmId, state);
        return state;
      }
      case 'drvm.update': {
        const spec = AgentMethods[method].params.parse(raw);
        const held = this.specs.get(spec.drvmId);
        if (!held) throw new DrvsError('NotFound', `no container of ${spec.drvmId} here`);
        if (spec.generation < held.generation)
          throw new DrvsError('StaleGeneration', `generation ${spec.generation} is older than what is held`);
        this.specs.set(spec.drvmId, spec);
        const state = { ...this.containers.get(spec.drvmId)!, generation: spec.generation };
        this.containers.set(spec.drvmId, state);
        return state;
      }
      case 'drvm.stop':
        if (drvmId && this.containers.has(drvmId))
          this.containers.set(drvmId, containerState(drvmId, 1, 'stopped'));
        return {};
      case 'drvm.delete':
        if (drvmId) {
          this.containers.delete(drvmId);
          this.specs.delete(drvmId);
          this.#requests.delete(drvmId);
        }
        return {};
      case 'node.check':
        return soundCheck();
      case 'node.shutdown':
        await this.shutdown();
        return {};
      case 'node.witness': {
        const { targets, timeoutMs } = AgentMethods[method].params.parse(raw);
        return Promise.all(targets.map((target) => this.witness(target, timeoutMs)));
      }
      case 'drvm.list':
        return [...this.containers.values()];
      case 'container.call': {
        const call = AgentMethods[method].params.parse(raw);
        if (!this.containers.has(call.drvmId))
          throw new DrvsError('ContainerUnreachable', 'no such container');
        if (call.method === 'container.status') return this.#status(call.drvmId);
        return this.containerCall(call.drvmId, call.method, call.params as Record<string, unknown>, context);
      }
    }
  }

  #status(drvmId: string) {
    const { state } = this.containers.get(drvmId)!;
    const { index = 0, peers = [] } = this.specs.get(drvmId) ?? {};
    const missing = peers.filter(({ nodeId }) => this.unreachable.has(nodeId));
    const running = missing.length > 0 ? 'degraded' : 'running';
    return {
      drvmId,
      index,
      state: state === 'running' ? running : 'starting',
      detail: missing.map(({ nodeName }) => `no link to ${nodeName}`).join('; '),
      incarnation: 'i',
      osPid: 1,
      processes: 0,
      guestMemoryBytes: 0,
      residentBytes: 0,
      cpuMs: 0,
      links: peers
        .filter((peer) => peer.index !== index)
        .map((peer) => ({ index: peer.index, state: missing.includes(peer) ? 'down' : 'up' })),
    };
  }
}

async function certificateRequest(): Promise<string> {
  const keys = await webcrypto.subtle.generateKey(EC, true, ['sign', 'verify']);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({ keys, signingAlgorithm: EC });
  return request.toString('pem');
}

/** What a sound node answers. */
function soundCheck(): NodeCheck {
  const items = NODE_CHECKS.map((name) => ({ name, passed: true, detail: 'as it should be', figures: {} }));
  return { at: new Date().toISOString(), items, tookMs: 0 };
}

export function containerState(
  drvmId: string,
  generation: number,
  state: ContainerState['state'],
): ContainerState {
  return {
    drvmId,
    generation,
    state,
    detail: '',
    osPid: state === 'running' ? 4242 : null,
    cpuMs: 0,
    residentBytes: 100 * 1_048_576,
    guestMemoryBytes: 0,
    processes: state === 'running' ? 3 : 0,
    restarts: 0,
    isolation: 'cpu: fuel-only',
  };
}
