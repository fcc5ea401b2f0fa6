import { DrvsError, type OperationView, type ProcessRow } from '@drvs/contracts';
import type { AgentPeer } from './agent-peer.js';
import type { TestCluster } from './cluster.js';

/**
 * What the containers of DRVMs answer where only the API is under test: which processes there are and where, and that
 * they move when told to. Shared by all agents, since any of them may be the home of a DRVM.
 */
export class Guests {
  readonly #processes = new Map<string, Map<number, ProcessRow>>();
  readonly #epochs = new Map<string, number>();
  readonly #agents: AgentPeer[] = [];
  readonly #timer: NodeJS.Timeout;
  /** `drvmId/pid` of each process that moved, and `drvmId/home`, in order. */
  readonly moves: string[] = [];
  /** Called before something is moved; what it throws is the answer. */
  beforeMove: (drvmId: string, pid: number | 'home') => void | Promise<void> = () => undefined;

  constructor() {
    // As the containers report themselves: how many processes each has.
    this.#timer = setInterval(() => this.#count(), 100);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  attach(agent: AgentPeer): AgentPeer {
    agent.containerCall = (drvmId, method, params) => this.#call(drvmId, method, params);
    this.#agents.push(agent);
    return agent;
  }

  /** A process that runs there. */
  run(drvmId: string, pid: number, node: string, more: Partial<ProcessRow> = {}): void {
    this.of(drvmId).set(pid, {
      pid,
      ppid: 1,
      node,
      state: 'running',
      cpuMs: 0,
      memoryBytes: 4 << 20,
      command: 'survey',
      endpoint: pid,
      startedAt: new Date().toISOString(),
      exitCode: null,
      signal: null,
      ...more,
    });
  }

  of(drvmId: string): Map<number, ProcessRow> {
    const known = this.#processes.get(drvmId) ?? new Map<number, ProcessRow>();
    this.#processes.set(drvmId, known);
    return known;
  }

  /** By pid. */
  places(drvmId: string): Record<number, string> {
    return Object.fromEntries([...this.of(drvmId).values()].map(({ pid, node }) => [pid, node]));
  }

  async #call(drvmId: string, method: string, params: Record<string, unknown>): Promise<unknown> {
    const processes = this.of(drvmId);
    switch (method) {
      case 'process.list':
        for (const row of processes.values()) if (row.state === 'running') row.cpuMs += 100;
        return [...processes.values()];
      case 'process.migrate': {
        const { pid, to } = params as { pid: number; to: string };
        const before = processes.get(pid);
        if (before) before.state = 'migrating';
        try {
          await this.beforeMove(drvmId, pid);
        } finally {
          if (before) before.state = 'running';
        }
        const row = processes.get(pid);
        if (!row) throw new DrvsError('NotFound', `the DRVM has no process ${pid}`);
        const from = row.node;
        if (from === to) throw new DrvsError('StateConflict', `process ${pid} is on ${to} already`);
        row.node = to;
        this.moves.push(`${drvmId}/${pid}`);
        return { pid, from, to, bytes: 1_000, pauseMs: 2, totalMs: 5, rounds: 1 };
      }
      case 'home.move': {
        await this.beforeMove(drvmId, 'home');
        const homeEpoch = (this.#epochs.get(drvmId) ?? 0) + 1;
        this.#epochs.set(drvmId, homeEpoch);
        this.moves.push(`${drvmId}/home`);
        return { home: params.to, homeEpoch, bytes: 5_000, files: 3, pauseMs: 4, totalMs: 9, rounds: 2 };
      }
      default:
        throw new DrvsError('NotFound', `no ${method} here`);
    }
  }

  #count(): void {
    for (const agent of this.#agents) {
      for (const [drvmId, state] of agent.containers) {
        const count = [...this.of(drvmId).values()].filter(({ node }) => node === agent.name).length;
        agent.containers.set(drvmId, { ...state, processes: count });
      }
    }
  }
}

/** A DRVM that runs, made as a user makes it. @returns its id */
export async function runningDrvm(
  cluster: TestCluster,
  admin: string,
  request: {
    name: string;
    tenant: string;
    cpu: number;
    memoryMiB: number;
    nodes: string[];
    diskGiB?: number;
    /** Traits. */
    require?: string[];
  },
): Promise<string> {
  const { operation, drvm } = await cluster.rest<{ operation: OperationView; drvm: { id: string } }>(
    admin,
    'POST',
    'drvms',
    { diskGiB: 1, ...request },
  );
  const ended = await cluster.rest<OperationView>(
    admin,
    'GET',
    `operations/${operation.id}/wait?timeoutSeconds=60`,
  );
  if (ended.state !== 'succeeded') throw new Error(`${request.name}: ${JSON.stringify(ended.error)}`);
  return drvm.id;
}
