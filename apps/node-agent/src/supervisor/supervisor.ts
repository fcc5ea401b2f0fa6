import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type ContainerSpec, type ContainerState, DrvsError } from '@drvs/contracts';
import { userFor } from '../namespaces/privileges.js';
import { certificateRequest, newKey } from './certificate-request.js';
import { ContainerSupervisor, type SupervisorSettings } from './container-supervisor.js';
import { checkDrvmId, DOOMED, DrvmStore, diskBytes } from './drvm-store.js';
import { findContainers, signal } from './host-processes.js';

/** DRVMs on one node at most: each is a process, a port and a folder. */
const DRVMS_MAX = 4_096;

/** All DRVMs of this node. Each call may be made twice with the effect of once. */
export class Supervisor {
  readonly #containers = new Map<string, ContainerSupervisor>();
  #diskBytes = 0;
  /** prepare, one after another: ports and host users are chosen from what is free. */
  #turn: Promise<unknown> = Promise.resolve();

  /**
   * @param root folder of the DRVMs' folders, absolute and resolved.
   * @param host address on which containers listen.
   */
  constructor(
    private readonly root: string,
    private readonly host: string,
    private readonly settings: SupervisorSettings,
  ) {}

  /** Takes up what runs, starts what should run (unless `resumes` is false), and removes what nobody owns. */
  async open({ resumes = true } = {}): Promise<void> {
    mkdirSync(this.root, { recursive: true, mode: 0o711 });
    for (const entry of readdirSync(this.root, { withFileTypes: true })) {
      const path = join(this.root, entry.name);
      if (entry.name.endsWith(DOOMED)) rmSync(path, { recursive: true, force: true });
      else if (entry.isDirectory()) this.#open(entry.name);
    }
    await this.#removeOrphanGroups();
    if (resumes) for (const container of this.#containers.values()) container.resume();
  }

  #open(drvmId: string): void {
    try {
      const store = new DrvmStore(join(this.root, checkDrvmId(drvmId)), drvmId);
      this.#containers.set(drvmId, new ContainerSupervisor(store, this.settings));
    } catch (error) {
      // One damaged folder must not keep the others from running.
      this.settings.log.error({ drvm: drvmId, err: error }, 'DRVM cannot be read and is left alone');
    }
  }

  /** Groups of DRVMs that are not here, and of runs of the loader that outlived their agent. */
  async #removeOrphanGroups(): Promise<void> {
    const { tree, log } = this.settings;
    if (tree.isEmpty) return;
    for (const slot of tree.children('loader')) await tree.group('loader', slot).remove();
    for (const name of tree.children('drvms')) {
      // A DRVM whose files cannot be read is not here in memory, but it is on disk, and may run.
      if (existsSync(join(this.root, name))) continue;
      log.warn({ drvm: name }, 'removing the control group of a DRVM that is not here');
      await tree.group('drvms', name).remove();
    }
  }

  async prepare(
    drvmId: string,
    index: number,
  ): Promise<{ certificateRequest: string; host: string; port: number }> {
    checkDrvmId(drvmId);
    const turn = this.#turn.then(() => this.#prepare(drvmId, index));
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #prepare(drvmId: string, index: number) {
    if (!this.#containers.has(drvmId) && this.#containers.size >= DRVMS_MAX) {
      throw new DrvsError('InsufficientResources', `this node holds ${DRVMS_MAX} DRVMs already`);
    }
    const store = new DrvmStore(join(this.root, drvmId), drvmId);
    store.create();
    const before = store.place();
    const container = this.#containers.get(drvmId);
    if (before && before.index !== index && container?.spec) {
      throw new DrvsError(
        'StateConflict',
        `DRVM ${drvmId} has index ${before.index} on this node, not ${index}`,
        { hint: 'The index never changes. Delete the DRVM on this node first.' },
      );
    }
    const others = [...this.#containers.values()].flatMap((other) => {
      const place = other.drvmId === drvmId ? null : other.store.place();
      return place ? [place] : [];
    });
    const { ports, privileges } = this.settings;
    const port = before?.port ?? (await ports.choose(new Set(others.map((place) => place.port))));
    const taken = new Set(others.flatMap(({ uid }) => (uid === null ? [] : [uid])));
    const uid = before?.uid ?? (privileges.users ? userFor(drvmId, privileges.users, taken) : null);
    let key = store.key();
    if (key === null) {
      key = newKey();
      store.setKey(key);
    }
    store.setPlace({ index, port, host: this.host, uid });
    if (!container) this.#open(drvmId);
    return { certificateRequest: await certificateRequest(key, drvmId, index), host: this.host, port };
  }

  async start(spec: ContainerSpec): Promise<ContainerState> {
    return this.get(spec.drvmId).start(spec);
  }

  async update(spec: ContainerSpec): Promise<ContainerState> {
    return this.get(spec.drvmId).update(spec);
  }

  async stop(drvmId: string, graceMs: number): Promise<void> {
    checkDrvmId(drvmId);
    await this.#containers.get(drvmId)?.stop(graceMs);
  }

  async remove(drvmId: string): Promise<void> {
    checkDrvmId(drvmId);
    const container = this.#containers.get(drvmId);
    if (container) {
      await container.remove();
      this.#containers.delete(drvmId);
    } else await this.#removeUnread(drvmId);
  }

  /** A DRVM whose files could not be read can still be removed, with what runs of it. */
  async #removeUnread(drvmId: string): Promise<void> {
    const { tree } = this.settings;
    const root = join(this.root, drvmId);
    if (!tree.isEmpty) await tree.group('drvms', drvmId).remove();
    for (const found of findContainers(root)) signal(found, 'SIGKILL');
    this.settings.devices.withdraw(drvmId, []);
    await new DrvmStore(root, drvmId).remove();
  }

  list(): ContainerState[] {
    return [...this.#containers.values()].map((container) => container.report());
  }

  /** @throws DrvsError NotFound. */
  get(drvmId: string): ContainerSupervisor {
    const container = this.#containers.get(checkDrvmId(drvmId));
    if (!container) {
      throw new DrvsError('NotFound', `this node holds nothing of a DRVM ${drvmId}`, {
        hint: 'Call drvm.prepare first.',
      });
    }
    return container;
  }

  /** Bytes on disk of all DRVMs, as last measured. */
  get diskBytes(): number {
    return this.#diskBytes;
  }

  async measureDisk(): Promise<void> {
    this.#diskBytes = await diskBytes(this.root);
  }

  /** Leaves every container running for the next agent. */
  async leave(): Promise<void> {
    await Promise.all([...this.#containers.values()].map((container) => container.leave()));
    await this.settings.ports.releaseAll();
  }

  /** Stops every container; the next agent starts those again that are wanted. */
  async park(graceMs: number): Promise<void> {
    await Promise.all([...this.#containers.values()].map((container) => container.park(graceMs)));
  }
}
