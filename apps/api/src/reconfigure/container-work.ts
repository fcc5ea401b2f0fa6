import { setTimeout as delay } from 'node:timers/promises';
import {
  AgentMethods,
  type ContainerMethod,
  ContainerMethods,
  type ContainerState,
  DrvsError,
  type ProcessRow,
  type ResourceAmounts,
} from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import type { ContainerParams, ContainerResult } from '../agents/agent-link.js';
import { SecretBox } from '../config/secret-box.js';
import { Database } from '../database/database.js';
import { homeSliceOf } from '../drvms/home-slice.js';
import { JobsService } from '../jobs/jobs.service.js';
import type { NodeJobOptions } from '../jobs/node-jobs.js';
import { isDown, unlessDown } from '../nodes/while-up.js';
import { signMember } from '../operations/authority.js';
import { openAuthority } from '../operations/sealed-authority.js';
import { type SpecifiedDrvm, specOf, WITH_SPEC } from './container-spec.js';

export interface SliceChangeOptions extends NodeJobOptions {
  /** Of the operation under way that the change belongs to. */
  operationId: string;
}

/** How often a container that is coming up is asked. */
const STATUS_EVERY_MS = 200;
/** After so long a container that does not reach its peers is started, and made known, once more. */
const JOIN_MS = 20_000;
/** A question that a container answers at once is asked again after so long. */
const ANSWER_MS = 15_000;

/**
 * What is done to the containers of single slices, by whichever API process holds the channel of the node. Everything
 * here may be done twice with the effect of once.
 */
@Injectable()
export class ContainerWork {
  #calls = 0;

  constructor(
    private readonly database: Database,
    private readonly jobs: JobsService,
    private readonly secrets: SecretBox,
  ) {}

  async drvm(drvmId: string): Promise<SpecifiedDrvm> {
    const drvm = await this.database.unrestricted.drvm.findUnique({
      where: { id: drvmId },
      include: WITH_SPEC,
    });
    if (!drvm) throw new DrvsError('NotFound', 'The DRVM is no more', { hint: 'It was deleted meanwhile.' });
    return drvm;
  }

  /** Key, port and certificate for the container of a slice, and the container started under them. */
  async start(drvmId: string, sliceId: string, options: SliceChangeOptions): Promise<void> {
    const { slice } = await this.#slice(drvmId, sliceId);
    const { index, nodeId } = slice;
    const answer = await this.jobs.nodes.run(
      nodeId,
      'drvm.prepare',
      { operationId: options.operationId, drvmId, index },
      this.#own(options),
    );
    const { certificateRequest, host, port } = AgentMethods['drvm.prepare'].result.parse(answer);
    const authority = openAuthority(this.secrets, await this.drvm(drvmId));
    const certificate = await signMember(authority, drvmId, index, certificateRequest);
    await this.database.unrestricted.slice.update({
      where: { id: sliceId },
      data: { host, port, certificate },
    });
    const spec = specOf(await this.drvm(drvmId), index);
    const started = await this.jobs.nodes.run(
      nodeId,
      'drvm.start',
      { operationId: options.operationId, spec },
      this.#own(options),
    );
    await this.#note(sliceId, AgentMethods['drvm.start'].result.parse(started));
  }

  /**
   * Gives the container of a slice its specification as it is now.
   * @param limits instead of those that the ledger says are in force
   */
  async update(
    drvmId: string,
    sliceId: string,
    options: SliceChangeOptions,
    limits?: ResourceAmounts,
  ): Promise<void> {
    const { drvm, slice } = await this.#slice(drvmId, sliceId);
    const { operationId } = options;
    const spec = specOf(drvm, slice.index, limits);
    const answer = await this.jobs.nodes.run(
      slice.nodeId,
      'drvm.update',
      { operationId, spec },
      this.#own(options),
    );
    await this.#note(sliceId, AgentMethods['drvm.update'].result.parse(answer));
  }

  /**
   * Tells every container of the DRVM who its peers and which its home are. A node that is down is told when it is back
   * (the specification that its container should run under is newer then than the one that it has).
   */
  async announce(drvmId: string, options: SliceChangeOptions): Promise<void> {
    await this.database.unrestricted
      .$executeRaw`UPDATE slice SET spec_generation = nextval('slice_spec_generation') WHERE drvm_id = ${drvmId}::uuid`;
    const { slices } = await this.drvm(drvmId);
    const told = slices.filter(({ leaving, certificate }) => !leaving && certificate !== null);
    await allOf(
      told.map(({ id, nodeId }) => this.unlessDown(nodeId, options, (own) => this.update(drvmId, id, own))),
    );
  }

  /** Removes the container of a DRVM from a node; one that is down removes it when it is back. */
  async delete(drvmId: string, nodeId: string, options: SliceChangeOptions): Promise<void> {
    const { operationId } = options;
    await this.unlessDown(nodeId, options, (own) =>
      this.jobs.nodes.run(nodeId, 'drvm.delete', { operationId, drvmId }, this.#own(own)),
    );
  }

  /** Waits until the container of a slice reaches its peers, all but those on nodes that are down. */
  async awaitRunning(drvmId: string, sliceId: string, options: SliceChangeOptions): Promise<void> {
    const until = Date.now() + Math.min(JOIN_MS, options.withinMs);
    for (;;) {
      const { drvm, slice } = await this.#slice(drvmId, sliceId);
      const status = await this.call(slice.nodeId, drvmId, 'container.status', {}, soon(options));
      const { state, detail } = status;
      if (state === 'running') break;
      if (state === 'degraded' && (await this.#missesOnlyWhoIsDown(drvm, status))) break;
      if (Date.now() >= until) {
        throw new DrvsError('Timeout', `the container on ${slice.node.name} is ${state}: ${detail}`, {
          hint: 'Look at the log of its agent; then try again.',
        });
      }
      await delay(STATUS_EVERY_MS, undefined, { signal: options.signal });
    }
    await this.database.unrestricted.slice.update({
      where: { id: sliceId },
      data: { containerState: 'running' },
    });
  }

  /** A peer on a node that is lost is never reached: nobody is to wait for it, least of all who comes in its place. */
  async #missesOnlyWhoIsDown(
    drvm: SpecifiedDrvm,
    { links, detail }: ContainerResult<'container.status'>,
  ): Promise<boolean> {
    const missing = links.filter(({ state }) => state === 'down');
    // Of each link that is missing one thing is said; more is another trouble.
    if (missing.length === 0 || detail.split('; ').length > missing.length) return false;
    for (const { index } of missing) {
      const peer = drvm.slices.find((slice) => slice.index === index);
      if (index === drvm.homeIndex || (peer && !(await isDown(this.database, peer.nodeId)))) return false;
    }
    return true;
  }

  /** The processes of a DRVM that live, or are coming to life, as its home knows them. */
  async processes(drvmId: string, options: SliceChangeOptions): Promise<ProcessRow[]> {
    const drvm = await this.drvm(drvmId);
    const rows = await this.call(homeSliceOf(drvm).nodeId, drvmId, 'process.list', {}, soon(options));
    return rows.filter(({ state }) => state !== 'zombie');
  }

  /** Makes the container `to` the home of the DRVM; the same key twice moves it once. */
  async moveHome(
    drvm: SpecifiedDrvm,
    to: number,
    requestKey: string,
    options: SliceChangeOptions,
  ): Promise<{ bytes: number; pauseMs: number }> {
    const { nodeId } = homeSliceOf(drvm);
    const answer = await this.call(nodeId, drvm.id, 'home.move', { to, requestKey }, options);
    const { home, homeEpoch, bytes, pauseMs } = answer;
    await this.database.unrestricted.drvm.updateMany({
      where: { id: drvm.id, homeEpoch: { lt: homeEpoch } },
      data: { homeIndex: home, homeEpoch },
    });
    return { bytes, pauseMs };
  }

  async call<M extends ContainerMethod>(
    nodeId: string,
    drvmId: string,
    method: M,
    params: ContainerParams<M>,
    options: SliceChangeOptions,
  ): Promise<ContainerResult<M>> {
    const { operationId } = options;
    const answer = await this.jobs.nodes.run(
      nodeId,
      'container.call',
      { operationId, drvmId, method, params },
      this.#own(options),
    );
    return ContainerMethods[method].result.parse(answer) as ContainerResult<M>;
  }

  /** Does work on a node for as long as it is not known to be down; false when it is. */
  async unlessDown(
    nodeId: string,
    options: SliceChangeOptions,
    work: (options: SliceChangeOptions) => Promise<unknown>,
  ): Promise<boolean> {
    if (await isDown(this.database, nodeId)) return false;
    return unlessDown(this.database, nodeId, options, work);
  }

  async #slice(drvmId: string, sliceId: string) {
    const drvm = await this.drvm(drvmId);
    const slice = drvm.slices.find(({ id }) => id === sliceId);
    if (!slice) throw new DrvsError('NotFound', `${drvm.name} has no such slice any more`);
    return { drvm, slice };
  }

  async #note(sliceId: string, { state, isolation, generation }: ContainerState): Promise<void> {
    await this.database.unrestricted.slice.updateMany({
      where: { id: sliceId },
      data: { containerState: state, isolation, appliedGeneration: generation },
    });
  }

  /** Each call is a job of its own: none is to be given the outcome of an earlier one. */
  #own(options: SliceChangeOptions): NodeJobOptions {
    return { ...options, key: `${options.key}.${process.pid}.${Date.now()}.${this.#calls++}` };
  }
}

const soon = (options: SliceChangeOptions): SliceChangeOptions => ({
  ...options,
  withinMs: Math.min(ANSWER_MS, options.withinMs),
});

/** All of them come to their end before the first failure is told. */
async function allOf(work: Promise<unknown>[]): Promise<void> {
  const outcomes = await Promise.allSettled(work);
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed) throw failed.reason;
}
