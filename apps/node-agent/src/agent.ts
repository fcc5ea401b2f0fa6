import { existsSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import {
  type AgentMethod,
  AgentMethods,
  DrvsError,
  HEARTBEAT_MS,
  type NodeInventory,
  type RpcContext,
  type RpcPeer,
} from '@drvs/contracts';
import type { z } from 'zod';
import { Channel } from './channel/channel.js';
import { ReconnectPolicy } from './channel/reconnect-policy.js';
import type { AgentConfig } from './config.js';
import type { Credential, DataFolder } from './data-folder.js';
import { EnergyMeter } from './energy/energy-meter.js';
import { EnrolmentRefused, enrol } from './enrolment/enrol.js';
import { checkNode } from './inventory/check.js';
import { discoverHost, offeredShare } from './inventory/discover.js';
import { UsageMeter } from './inventory/usage.js';
import { type CgroupFindings, detectCgroups } from './limits/detect.js';
import { InstrumentService } from './loader/instrument-service.js';
import { ModuleCache } from './loader/module-cache.js';
import type { Log } from './log.js';
import { detectPrivileges, type Privileges } from './namespaces/privileges.js';
import { requireCommand, shutDownHost } from './power/shutdown.js';
import { witness } from './power/witness.js';
import { DeviceAccess } from './supervisor/device-access.js';
import { PortHolder } from './supervisor/ports.js';
import { StartGate } from './supervisor/start-gate.js';
import { Supervisor } from './supervisor/supervisor.js';
import { AGENT_VERSION } from './version.js';

/** How often the host is looked at for changes of its resources, and the disk's use measured. */
const INVENTORY_EVERY_MS = 30_000;
/** Containers started at a time: enough that slow ones (with a small share of CPU) do not hold up the others. */
const STARTS_AT_ONCE_MIN = 8;
const STARTS_PER_CPU = 4;
/** Before the host goes off, guests get this long to end by themselves. */
const SHUTDOWN_GRACE_MS = 5_000;

/**
 * One node's agent: puts the parts together and owns their lives.
 *
 *     Channel ──calls──▶ AgentMethods ──▶ Supervisor ──▶ ContainerSupervisor per DRVM ──▶ container processes
 *        ▲                                                    │ loader.instrument
 *        └──inventory, heartbeat, container.event             ▼
 *                                                       InstrumentService ──▶ loader processes
 *
 * The containers depend on nothing here: they run on while the API is away, and while no agent runs.
 */
export class Agent {
  readonly #abort = new AbortController();
  readonly #usage = new UsageMeter();
  readonly #energy: EnergyMeter;
  #channel: Channel | null = null;
  #inventory: NodeInventory;

  private constructor(
    private readonly config: AgentConfig,
    private readonly data: DataFolder,
    private readonly log: Log,
    private readonly cgroups: CgroupFindings,
    private readonly privileges: Privileges,
    private readonly supervisor: Supervisor,
    /** Fixed at start: what is free on the disk changes all the time. */
    private readonly offered: NodeInventory['offered'],
  ) {
    this.#energy = new EnergyMeter(config.watts, config.powercap, log);
    this.#inventory = this.#discover();
  }

  static async open(config: AgentConfig, data: DataFolder, log: Log): Promise<Agent> {
    const offered = offeredShare(discoverHost(data.path), config.offer);
    const cgroups = await detectCgroups(data.scope(config.nodeName));
    mkdirSync(data.drvms, { recursive: true, mode: 0o711 });
    const containerMain = fileURLToPath(new URL('./container/main.js', import.meta.url));
    const loaderMain = join(dirname(doorOf('@drvs/dvos/loader')), 'main.js');
    const privileges = detectPrivileges(
      [containerMain, doorOf('@drvs/dvos'), doorOf('@drvs/drvmm-core'), doorOf('@drvs/contracts')],
      [data.path, data.drvms],
    );
    limitNode(cgroups, offered.cpuMilli, log);
    const loader = new LazyInstrumentService(async () => {
      const { LOADER_VERSION } = await import('@drvs/dvos');
      const cache = new ModuleCache(data.modules, LOADER_VERSION);
      await cache.open();
      return new InstrumentService({ cache, loaderMain, tree: cgroups.tree, privileges, log });
    });
    const holder: { agent: Agent | null } = { agent: null };
    const supervisor = new Supervisor(data.drvms, config.host, {
      tree: cgroups.tree,
      privileges,
      ports: new PortHolder(config.host, config.ports),
      gate: new StartGate(Math.max(STARTS_AT_ONCE_MIN, STARTS_PER_CPU * availableParallelism())),
      containerMain,
      devices: new DeviceAccess(data.devices, (key) => holder.agent?.findDevice(key) ?? null, log),
      log,
      hooks: {
        instrument: (params, context) => loader.handle(params, context),
        onEvent: (event) => holder.agent?.forward('container.event', event),
      },
    });
    const agent = new Agent(config, data, log, cgroups, privileges, supervisor, offered);
    holder.agent = agent;
    return agent;
  }

  /** Takes up the containers and stays connected to the API. Returns when `leave` was called. */
  async run(): Promise<void> {
    const { enforcement, offered } = this.#inventory;
    this.log.info({ version: AGENT_VERSION, offered, enforcement }, 'agent starts');
    await this.supervisor.open();
    // Containers first: they must be up again also where the API is not to be reached.
    const credential = await this.#credential();
    if (!credential) return;
    this.#channel = new Channel({
      apiUrl: this.config.apiUrl,
      credential: credential.credential,
      log: this.log,
      onConnected: (peer) => this.#serve(peer),
    });
    await Promise.all([
      this.#channel.run(this.#abort.signal),
      this.#every(HEARTBEAT_MS, () => this.#beat()),
      this.#every(INVENTORY_EVERY_MS, () => this.#lookAround()),
    ]);
  }

  /** Stops the containers that an earlier agent left running, without the API. */
  async stopContainers(graceMs: number): Promise<void> {
    await this.supervisor.open({ resumes: false });
    await this.supervisor.park(graceMs);
    await this.#removeGroups();
  }

  /** Ends the agent; containers run on. */
  async leave(): Promise<void> {
    this.#abort.abort();
    await this.supervisor.leave();
  }

  /** Ends the agent and its containers; the next agent starts them again. */
  async leaveAndStopContainers(graceMs: number): Promise<void> {
    await this.supervisor.park(graceMs);
    await this.leave();
    await this.#removeGroups();
  }

  /** Nothing of this agent is left in the control groups; the next one makes them again. */
  async #removeGroups(): Promise<void> {
    const { tree } = this.cgroups;
    if (tree.isEmpty) return;
    for (const path of [['loader'], ['drvms'], []]) await tree.group(...path).remove();
  }

  /** Where the device of this key is on the host, as it was last seen. */
  findDevice(key: string): string | null {
    return this.#inventory.devices.find(({ id }) => id === key)?.path ?? null;
  }

  forward(name: string, params: unknown): void {
    this.#channel?.emitKept(name, params);
  }

  #discover(): NodeInventory {
    const { notes, diskFreeGiB: _free, ...facts } = discoverHost(this.data.path, this.config.devices);
    const { tree } = this.cgroups;
    const version = (controller: 'cpu' | 'memory') => {
      const found = tree.versionOf(controller);
      return found === null ? null : (`cgroup-v${found}` as const);
    };
    return {
      ...facts,
      offered: this.offered,
      enforcement: {
        cpu: version('cpu') ?? 'fuel-only',
        memory: version('memory') ?? 'kernel-only',
        namespaces: this.privileges.namespaces,
        user: this.privileges.hasOwnUsers ? 'own-uid' : 'shared-uid',
        notes: [...this.cgroups.notes, ...this.privileges.notes, ...notes],
      },
      agentVersion: AGENT_VERSION,
    };
  }

  /** The kept credential, or a new one for the token. Null when the agent ends before it has one. */
  async #credential(): Promise<Credential | null> {
    const { nodeName, enrolToken, apiUrl } = this.config;
    const kept = this.data.credential();
    if (kept) {
      if (kept.nodeName === nodeName) return kept;
      throw new DrvsError(
        'StateConflict',
        `the data folder belongs to node ${kept.nodeName}, not ${nodeName}`,
        {
          hint: 'Start the agent with that name, or with another DRVS_DATA.',
        },
      );
    }
    if (enrolToken === undefined) {
      throw new DrvsError('NotAuthenticated', `node ${nodeName} is not enrolled yet`, {
        field: 'DRVS_ENROL_TOKEN',
        hint: 'Make a one-time token with `drvs node enroll-token` and start the agent with DRVS_ENROL_TOKEN.',
      });
    }
    const policy = new ReconnectPolicy();
    while (!this.#abort.signal.aborted) {
      try {
        const answer = await enrol(apiUrl, enrolToken, nodeName, this.#inventory, this.#abort.signal);
        const credential = { ...answer, nodeName };
        this.data.setCredential(credential);
        this.log.info({ nodeId: answer.nodeId }, 'enrolled');
        return credential;
      } catch (error) {
        if (error instanceof EnrolmentRefused) throw error;
        if (this.#abort.signal.aborted) break;
        const delayMs = Math.round(policy.next(false));
        this.log.warn({ apiUrl, reason: reasonOf(error), retryMs: delayMs }, 'cannot enrol yet');
        await this.#sleep(delayMs);
      }
    }
    return null;
  }

  #serve(peer: RpcPeer): void {
    const { supervisor } = this;
    const serve = <M extends AgentMethod>(
      method: M,
      work: (params: z.output<(typeof AgentMethods)[M]['params']>, context: RpcContext) => unknown,
    ) =>
      peer.handle(method, (params, context) => {
        const parsed = AgentMethods[method].params.safeParse(params);
        if (!parsed.success) {
          const issue = parsed.error.issues[0];
          const field = issue?.path.join('.');
          throw new DrvsError('InvalidInput', `${method}: ${field}: ${issue?.message}`, { field });
        }
        return work(parsed.data as z.output<(typeof AgentMethods)[M]['params']>, context);
      });
    serve('drvm.prepare', ({ drvmId, index }) => supervisor.prepare(drvmId, index));
    serve('drvm.start', (spec) => supervisor.start(spec));
    serve('drvm.update', (spec) => supervisor.update(spec));
    serve('drvm.stop', async ({ drvmId, graceMs }) => {
      await supervisor.stop(drvmId, graceMs);
      return {};
    });
    serve('drvm.delete', async ({ drvmId }) => {
      await supervisor.remove(drvmId);
      return {};
    });
    serve('node.check', () => checkNode(this.data.path));
    serve('drvm.list', () => supervisor.list());
    serve('container.call', ({ drvmId, method, params }, context) =>
      supervisor.get(drvmId).call(method, params, context),
    );
    serve('node.shutdown', async () => {
      requireCommand(this.config.shutdown);
      await supervisor.park(SHUTDOWN_GRACE_MS);
      await shutDownHost(this.config.shutdown, this.log);
      return {};
    });
    serve('node.witness', ({ targets, timeoutMs }) =>
      Promise.all(targets.map((target) => witness(target, timeoutMs))),
    );
    peer.emit('inventory', this.#inventory);
    peer.emit('heartbeat', this.#measure());
  }

  #measure() {
    const heartbeat = this.#usage.measure(Date.now(), this.supervisor.list(), this.supervisor.diskBytes);
    return { ...heartbeat, energy: this.#energy.read() };
  }

  #beat(): void {
    if (this.#channel?.isConnected) this.#channel.emit('heartbeat', this.#measure());
  }

  async #lookAround(): Promise<void> {
    await this.supervisor.measureDisk();
    const inventory = this.#discover();
    if (isDeepStrictEqual(inventory, this.#inventory)) return;
    this.#inventory = inventory;
    this.#channel?.emit('inventory', inventory);
  }

  async #every(periodMs: number, work: () => void | Promise<void>): Promise<void> {
    while (!this.#abort.signal.aborted) {
      await this.#sleep(periodMs);
      if (this.#abort.signal.aborted) return;
      try {
        await work();
      } catch (error) {
        // A file of the kernel that cannot be read just now must not end the agent.
        this.log.error({ err: error }, 'measuring failed');
      }
    }
  }

  async #sleep(delayMs: number): Promise<void> {
    await sleep(delayMs, undefined, { signal: this.#abort.signal }).catch(() => {});
  }
}

/** Made when first asked: an idle agent need not hold the DVOS's code. */
class LazyInstrumentService {
  #service: Promise<InstrumentService> | null = null;

  constructor(private readonly make: () => Promise<InstrumentService>) {}

  async handle(params: unknown, context: RpcContext): Promise<unknown> {
    this.#service ??= this.make().catch((error: unknown) => {
      this.#service = null;
      throw error;
    });
    return (await this.#service).handle(params, context);
  }
}

/** The file that a package's door leads to. */
function doorOf(name: string): string {
  const path = createRequire(import.meta.url).resolve(name);
  if (!existsSync(path))
    throw new DrvsError('Internal', `${path} is missing`, { hint: 'Run `npm run build`.' });
  return path;
}

/** The wall above all containers: together they get the node's share of CPU and no more. */
function limitNode(cgroups: CgroupFindings, cpuMilli: number, log: Log): void {
  if (cgroups.tree.isEmpty) return;
  const all = cgroups.tree.group('drvms');
  all.create();
  try {
    all.set({ cpuMilli });
  } catch (error) {
    // Version 1 refuses a quota below that of a group inside: the share was made smaller than what was given away.
    all.clearCpu();
    const note = `The CPU share of the whole node is not enforced (${(error as Error).message}); that of each DRVM is.`;
    cgroups.notes.push(note);
    log.warn(note);
  }
}

/** fetch() wraps the reason (ECONNREFUSED and the like) as cause. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error && cause.message ? `${message}: ${cause.message}` : message;
}
