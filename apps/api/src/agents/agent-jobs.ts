import { type AgentJob, AgentJobs, DrvsError } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { Database } from '../database/database.js';
import { AgentLinks } from './agent-links.js';

/** Longer than an agent needs when all is well; the operation's own deadline is the one that the user sees. */
const TIMEOUT_MS: Readonly<Record<AgentJob, number>> = {
  'drvm.prepare': 30_000,
  'drvm.start': 110_000,
  'drvm.update': 30_000,
  'drvm.stop': 50_000,
  'drvm.delete': 80_000,
  'container.call': 170_000,
  'process.migrate': 170_000,
  'node.shutdown': 25_000,
  'node.witness': 7_000,
};

/** Jobs that change the container of a DRVM. */
type DrvmJob = Exclude<AgentJob, 'process.migrate' | 'container.call' | 'node.shutdown' | 'node.witness'>;

/** Does the jobs of the nodes whose channel this process holds. */
@Injectable()
export class AgentJobProcessor {
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(
    private readonly database: Database,
    private readonly links: AgentLinks,
  ) {}

  async perform(nodeId: string, name: AgentJob, data: unknown, signal: AbortSignal): Promise<unknown> {
    if (name === 'process.migrate') return this.#migrate(nodeId, data, signal);
    if (name === 'container.call') return this.#callContainer(nodeId, data, signal);
    if (name === 'node.shutdown') return this.#shutDown(nodeId, data, signal);
    if (name === 'node.witness') return this.#witness(nodeId, data, signal);
    const drvmId = drvmOf(name, data);
    // One after another, as they were asked for: one that was given up is ended here, and what undoes it goes after it.
    return this.#inTurn(`${nodeId}/${drvmId}`, () => this.#change(nodeId, name, data, signal));
  }

  async #change(nodeId: string, name: DrvmJob, data: unknown, signal: AbortSignal): Promise<unknown> {
    signal.throwIfAborted();
    const link = this.links.require(nodeId);
    const options = { timeoutMs: TIMEOUT_MS[name], signal };
    await this.#requireUnderWay(AgentJobs[name].parse(data).operationId);
    switch (name) {
      case 'drvm.prepare': {
        const { drvmId, index } = AgentJobs[name].parse(data);
        return (await link.call(name, { drvmId, index }, options)).result;
      }
      case 'drvm.start':
        return (await link.call(name, AgentJobs[name].parse(data).spec, options)).result;
      case 'drvm.update':
        return (await link.call(name, AgentJobs[name].parse(data).spec, options)).result;
      case 'drvm.stop': {
        const { drvmId, graceMs } = AgentJobs[name].parse(data);
        return (await link.call(name, { drvmId, graceMs }, options)).result;
      }
      case 'drvm.delete':
        return (await link.call(name, { drvmId: AgentJobs[name].parse(data).drvmId }, options)).result;
    }
  }

  async #migrate(nodeId: string, data: unknown, signal: AbortSignal): Promise<unknown> {
    const { operationId, drvmId, pid, to, requestKey } = AgentJobs['process.migrate'].parse(data);
    await this.#requireUnderWay(operationId);
    const options = { timeoutMs: TIMEOUT_MS['process.migrate'], signal };
    const params = { pid, to, requestKey: requestKey ?? operationId };
    return (await this.links.require(nodeId).callContainer(drvmId, 'process.migrate', params, options))
      .result;
  }

  async #callContainer(nodeId: string, data: unknown, signal: AbortSignal): Promise<unknown> {
    const { operationId, drvmId, method, params } = AgentJobs['container.call'].parse(data);
    await this.#requireUnderWay(operationId);
    const options = { timeoutMs: TIMEOUT_MS['container.call'], signal };
    const link = this.links.require(nodeId);
    return (await link.call('container.call', { drvmId, method, params }, options)).result;
  }

  /** It changes nothing, so it may also come late. */
  async #witness(nodeId: string, data: unknown, signal: AbortSignal): Promise<unknown> {
    const params = AgentJobs['node.witness'].parse(data);
    const options = { timeoutMs: TIMEOUT_MS['node.witness'], signal };
    return (await this.links.require(nodeId).call('node.witness', params, options)).result;
  }

  async #shutDown(nodeId: string, data: unknown, signal: AbortSignal): Promise<unknown> {
    await this.#requireUnderWay(AgentJobs['node.shutdown'].parse(data).operationId);
    const options = { timeoutMs: TIMEOUT_MS['node.shutdown'], signal };
    return (await this.links.require(nodeId).call('node.shutdown', {}, options)).result;
  }

  /** A job may come late, from a queue that nobody served for a while. */
  async #requireUnderWay(operationId: string): Promise<void> {
    const operation = await this.database.unrestricted.operation.findUnique({
      where: { id: operationId },
      select: { state: true },
    });
    if (operation?.state === 'running') return;
    // What an operation has left half done is given back also after its end.
    const change = await this.database.unrestricted.sliceChange.findFirst({
      where: { operationId, endedAt: null },
      select: { id: true },
    });
    if (change) return;
    throw new DrvsError('StateConflict', `operation ${operationId} is not under way: its job came too late`);
  }

  async #inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(key) ?? Promise.resolve();
    const turn = before.then(work, work);
    const settled = turn.catch(() => undefined);
    this.#turns.set(key, settled);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(key) === settled) this.#turns.delete(key);
    }
  }
}

function drvmOf(name: DrvmJob, data: unknown): string {
  return name === 'drvm.start' || name === 'drvm.update'
    ? AgentJobs[name].parse(data).spec.drvmId
    : AgentJobs[name].parse(data).drvmId;
}
