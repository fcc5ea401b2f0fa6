import { setTimeout as delay } from 'node:timers/promises';
import { DrvsError, type PowerState } from '@drvs/contracts';
import { Inject, Injectable, Logger } from '@nestjs/common';
import { CONFIG, type Config } from '../config/config.js';
import { SecretBox } from '../config/secret-box.js';
import { Database, type Transaction } from '../database/database.js';
import type { NodePower, Prisma } from '../gen/client.js';
import { JobsService } from '../jobs/jobs.service.js';
import { LedgerSession } from '../jobs/ledger-session.js';
import type { NodeJobOptions } from '../jobs/node-jobs.js';
import { cordon } from '../nodes/cordon.js';
import { nodeState, occupies } from '../nodes/node-view.js';
import { CALL_WITHIN_MS, type PowerDriver, type PowerReading } from './drivers/power-driver.js';
import { LocalNodes } from './local-nodes.js';
import { driverOf, noDriverError } from './power-config.js';
import { cpusOf, modelOf } from './power-model.js';
import { columnsOf, recordOf } from './power-rows.js';
import {
  actionFailed,
  askedOff,
  askedOn,
  look,
  type PowerAction,
  type PowerLimits,
  type PowerRecord,
  released,
} from './power-state.js';

export interface PowerOptions extends NodeJobOptions {
  /** The operation that wants it: an agent is told to shut down only while that is under way. */
  operationId: string;
  /** Whom the events name. */
  by: string;
  /** Also a node on which DRVMs still have something. */
  force?: boolean;
  /** Once it is back, it takes new work again by itself. */
  reopens?: boolean;
}

export type PoweredNode = Prisma.NodeGetPayload<{ include: typeof withPower }>;

const withPower = {
  power: true,
  slices: { include: { drvm: { select: { name: true, homeIndex: true } } } },
} satisfies Prisma.NodeInclude;

const WAIT_LOOK_MS = 500;
const GRACEFUL_MS = 120_000;
const CUT_MS = 60_000;
const BOOT_LEAST_MS = 120_000;
const JOIN_MS = 120_000;
/** After the power was cut it is read so often whether it is gone. */
const FENCE_READS = 10;
const FENCE_READ_EVERY_MS = 1_000;
const IN_TRANSIT: ReadonlySet<string> = new Set(['powering-off', 'powering-on', 'joining']);

/**
 * Switches nodes off and on. What is asked for is written into the ledger; whoever looks next (the one who asked and
 * waits, or the watch of any API process) takes the next step of the state machine. So a process that is killed in the
 * middle leaves nothing half switched: the next look goes on.
 */
@Injectable()
export class PowerService {
  readonly #logger = new Logger('Power');

  constructor(
    private readonly database: Database,
    private readonly jobs: JobsService,
    private readonly session: LedgerSession,
    private readonly secrets: SecretBox,
    private readonly localNodes: LocalNodes,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /**
   * Switches a drained node off and returns when it is. One that is off already is left so.
   *
   * @throws DrvsError StateConflict when it is not drained (without `force`), has no driver, or is quarantined;
   * PowerFailed when it does not go off; Timeout
   */
  async switchOff(nodeId: string, options: PowerOptions): Promise<void> {
    await this.#ask(nodeId, options, 'off');
    await this.#await(nodeId, 'off', options);
  }

  /**
   * Switches a node on and returns when its agent is connected, heard and has told its inventory.
   *
   * @throws DrvsError StateConflict when it has no driver or is quarantined; PowerFailed when it does not come; Timeout
   */
  async switchOn(nodeId: string, options: PowerOptions): Promise<void> {
    await this.#ask(nodeId, options, 'on');
    await this.#await(nodeId, 'on', options);
  }

  /** The driver that switches the node now; a node of a local stack has one without being told. */
  async driver(nodeId: string): Promise<{ node: PoweredNode; driver: PowerDriver }> {
    const node = await this.node(this.database.unrestricted, nodeId);
    return { node, driver: await this.#driverOf(node) };
  }

  async node(tx: Pick<Transaction, 'node'>, nodeId: string): Promise<PoweredNode> {
    const node = await tx.node.findUnique({ where: { id: nodeId }, include: withPower });
    if (node) return node;
    throw new DrvsError('NotFound', 'The node was removed meanwhile', { hint: 'See `drvs node list`.' });
  }

  /** Takes the node's row, with what it has if nothing is known yet. */
  async rowOf(tx: Transaction, nodeId: string): Promise<NodePower> {
    await tx.$executeRaw`INSERT INTO node_power (node_id) VALUES (${nodeId}::uuid) ON CONFLICT DO NOTHING`;
    await tx.$queryRaw`SELECT 1 FROM node_power WHERE node_id = ${nodeId}::uuid FOR UPDATE`;
    return tx.nodePower.findUniqueOrThrow({ where: { nodeId } });
  }

  async #ask(nodeId: string, options: PowerOptions, to: 'on' | 'off'): Promise<void> {
    const { driver } = await this.driver(nodeId);
    await this.database.system(async (tx) => {
      const row = await this.rowOf(tx, nodeId);
      const node = await this.node(tx, nodeId);
      const record = recordOf(row);
      const asked =
        to === 'off'
          ? askedOff(record, `${options.by} switched it off`, Date.now())
          : askedOn(record, `${options.by} switched it on`, Date.now());
      if (asked === null) return;
      if (asked === 'refused') throw refusedIn(node.name, record);
      if (driver.name === 'none') throw noDriverError(node.name);
      if (to === 'off') requireMayGoOff(node, options.force === true);
      await tx.nodePower.update({
        where: { nodeId },
        data: {
          ...columnsOf(asked),
          operationId: options.operationId,
          forced: to === 'off' && options.force === true,
          ...(options.reopens === undefined && to === 'on' ? {} : { reopens: options.reopens ?? false }),
          inventoryAt: null,
          generation: { increment: 1 },
        },
      });
      if (to === 'off') await cordon(tx, nodeId, options.by);
      const kind = to === 'off' ? 'node.powering-off' : 'node.powering-on';
      const text = `${options.by} switches ${node.name} ${to} (${driver.name})`;
      await tx.event.create({ data: { kind, nodeId, node: node.name, text } });
    });
  }

  async #await(nodeId: string, to: 'on' | 'off', { withinMs, signal }: PowerOptions): Promise<void> {
    for (const until = Date.now() + withinMs; ; ) {
      await this.look(nodeId, signal);
      const row = await this.database.unrestricted.nodePower.findUnique({ where: { nodeId } });
      const state = (row?.state ?? 'on') as PowerState;
      if (state === to) return;
      if (row && (state === 'failed' || state === 'quarantined')) throw await this.#failed(row);
      if (!IN_TRANSIT.has(state) || (to === 'off') !== (state === 'powering-off')) {
        throw new DrvsError('StateConflict', `Somebody else switched the node: it is ${state}`, {
          hint: 'See `drvs events`.',
        });
      }
      if (Date.now() >= until) {
        throw new DrvsError('Timeout', `The node is still ${state}`, {
          hint: 'See `drvs node power status`.',
        });
      }
      await delay(WAIT_LOOK_MS, undefined, { signal });
    }
  }

  async #failed({ nodeId, state, reason }: NodePower): Promise<DrvsError> {
    const { name } = await this.node(this.database.unrestricted, nodeId);
    return new DrvsError('PowerFailed', `${name} is ${state}: ${reason}`, {
      hint: `Try the driver: drvs node power test ${name}${state === 'quarantined' ? `; then: drvs node release ${name}` : ''}`,
    });
  }

  /** Takes the next step of a node, if nobody else is at it. */
  async look(nodeId: string, signal: AbortSignal): Promise<void> {
    await this.session.alone(`power/${nodeId}`, () => this.#lookAlone(nodeId, signal));
  }

  async #lookAlone(nodeId: string, signal: AbortSignal): Promise<void> {
    const node = await this.node(this.database.unrestricted, nodeId);
    const { power: row } = node;
    if (!row || row.state === 'on' || row.state === 'quarantined') return;
    const driver = await this.#driverOf(node);
    const reading: PowerReading['power'] = IN_TRANSIT.has(row.state)
      ? await this.#read(driver, signal)
      : 'unknown';
    const before = recordOf(row);
    const limits = limitsOf(node, driver);
    const nowMs = Date.now();
    const seenMs = node.lastSeenAt?.getTime() ?? 0;
    const step = look(
      before,
      {
        reading,
        isHeard: seenMs > before.sinceMs,
        silentMs: nowMs - Math.max(seenMs, before.sinceMs),
        hasInventory: row.inventoryAt !== null,
      },
      nowMs,
      limits,
    );
    if (!(await this.#write(node, row, step.record, step.entered)) || step.action === null) return;
    try {
      await this.#perform(step.action, driver, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      const { message } = error as Error;
      this.#logger.warn(`${node.name}: ${step.action}: ${message}`);
      const now = await this.database.unrestricted.nodePower.findUnique({ where: { nodeId } });
      if (now?.generation !== row.generation + 1) return;
      const after = actionFailed(step.record, step.action, message, limits, Date.now());
      await this.#write(node, now, after, after.state === step.record.state ? null : after.state);
    }
  }

  /** Each try is counted before it is made: a process that dies in it does not try without end. */
  async #write(
    node: PoweredNode,
    row: NodePower,
    record: PowerRecord,
    entered: PowerState | null,
  ): Promise<boolean> {
    return this.database.system(async (tx) => {
      const { count } = await tx.nodePower.updateMany({
        where: { nodeId: row.nodeId, generation: row.generation },
        data: {
          ...columnsOf(record),
          generation: { increment: 1 },
        } as Prisma.NodePowerUpdateManyMutationInput,
      });
      if (count === 1 && entered !== null) await entering(tx, node, row, record);
      return count === 1;
    });
  }

  async #perform(action: PowerAction, driver: PowerDriver, signal: AbortSignal): Promise<void> {
    const either = AbortSignal.any([signal, AbortSignal.timeout(2 * CALL_WITHIN_MS)]);
    switch (action) {
      case 'ask-off':
        return driver.off('gently', either);
      case 'cut':
        return driver.off('at-once', either);
      case 'switch-on':
        return driver.on(either);
      case 'cycle':
        return driver.cycle(either);
    }
  }

  async #read(driver: PowerDriver, signal: AbortSignal): Promise<PowerReading['power']> {
    const either = AbortSignal.any([signal, AbortSignal.timeout(CALL_WITHIN_MS)]);
    const reading = await driver.status(either).catch((error: unknown) => {
      signal.throwIfAborted();
      this.#logger.warn((error as Error).message);
      return null;
    });
    return reading?.power ?? 'unknown';
  }

  async #driverOf(node: PoweredNode): Promise<PowerDriver> {
    const { power: row } = node;
    const isLocal = (row === null || row.driver === 'none') && (await this.localNodes.has(node.name));
    return driverOf(
      {
        nodeId: node.id,
        driver: isLocal ? 'local' : (row?.driver ?? 'none'),
        settings: row?.settings ?? {},
        secret: row?.secret ?? null,
      },
      node.name,
      {
        secrets: this.secrets,
        localSocket: this.config.localPowerSocket,
        shutDown: (signal) => this.#shutDown(node, signal),
      },
    );
  }

  async #shutDown(node: PoweredNode, signal: AbortSignal): Promise<void> {
    const row = await this.database.unrestricted.nodePower.findUnique({ where: { nodeId: node.id } });
    if (!row?.operationId)
      throw new DrvsError('StateConflict', `no operation asked for ${node.name} to go off`);
    const key = `${row.operationId}.shutdown.${node.id}.${row.attempts}.${row.since.getTime()}`;
    const options = { key, signal, withinMs: CALL_WITHIN_MS };
    await this.jobs.nodes.run(node.id, 'node.shutdown', { operationId: row.operationId }, options);
  }

  /**
   * Takes the power of a lost node away and reads whether it is gone. What it says is the proof.
   * @throws DrvsError PowerFailed when its driver cannot
   */
  async fence(nodeId: string, signal: AbortSignal): Promise<{ isOff: boolean; says: string }> {
    const { driver } = await this.driver(nodeId);
    await driver.off('at-once', signal);
    for (let round = 0; ; round++) {
      const { power, detail } = await driver.status(signal);
      if (power === 'off') {
        await this.database.system(async (tx) => {
          const row = await this.rowOf(tx, nodeId);
          const record = {
            ...recordOf(row),
            state: 'off' as const,
            sinceMs: Date.now(),
            leftMs: null,
            attempts: 0,
          };
          const reason = 'its power was cut after it was lost';
          await tx.nodePower.update({
            where: { nodeId },
            data: { ...columnsOf({ ...record, reason }), inventoryAt: null, generation: { increment: 1 } },
          });
        });
        return { isOff: true, says: `${driver.name}: ${detail}` };
      }
      if (round >= FENCE_READS) return { isOff: false, says: `${driver.name} reads ${power}: ${detail}` };
      await delay(FENCE_READ_EVERY_MS, undefined, { signal });
    }
  }

  /** An operator has looked at a node that failed or is quarantined. @returns what it counts as now */
  async release(tx: Transaction, nodeId: string, by: string): Promise<PowerState> {
    const row = await this.rowOf(tx, nodeId);
    const node = await this.node(tx, nodeId);
    const record = recordOf(row);
    const isHeard = nodeState({ ...node, wantedState: 'active' }, 0, Date.now()) === 'up';
    const after = released(record, isHeard, `released by ${by}`, Date.now());
    await tx.nodePower.update({
      where: { nodeId },
      data: { ...columnsOf(after), generation: { increment: 1 } },
    });
    return after.state;
  }
}

function limitsOf(node: PoweredNode, driver: PowerDriver): PowerLimits {
  const { bootSeconds } = modelOf(node.power, cpusOf(node.inventory));
  return {
    gracefulMs: GRACEFUL_MS,
    cutMs: CUT_MS,
    bootMs: Math.max(BOOT_LEAST_MS, 3_000 * bootSeconds),
    joinMs: JOIN_MS,
    canCut: driver.canCut,
  };
}

/** @throws DrvsError StateConflict for a node that takes new work, or on which DRVMs have something */
export function requireMayGoOff(node: PoweredNode, isForced: boolean): void {
  if (isForced || node.wantedState === 'off') return;
  const held = node.slices.filter(occupies);
  if (node.wantedState !== 'active' && held.length === 0) return;
  const names = [...new Set(held.map(({ drvm }) => drvm.name))];
  throw new DrvsError(
    'StateConflict',
    node.wantedState === 'active'
      ? `${node.name} takes new work: only a drained node is switched off`
      : `${node.name} is not empty: ${names.join(', ')} ${names.length === 1 ? 'has' : 'have'} something there`,
    { hint: `Drain it first: drvs node drain ${node.name}`, details: { drvms: names } },
  );
}

const refusedIn = (name: string, { state, reason }: PowerRecord): DrvsError =>
  new DrvsError('StateConflict', `${name} is ${state}: ${reason}`, {
    hint:
      state === 'quarantined'
        ? `When it is repaired: drvs node release ${name}`
        : 'See `drvs node power status`.',
  });

/** What a new state of the power means for the node, and how it is told. */
async function entering(
  tx: Transaction,
  node: PoweredNode,
  row: NodePower,
  { state, reason }: PowerRecord,
): Promise<void> {
  const { id, name } = node;
  const tell = (kind: string, text: string) =>
    tx.event.create({ data: { kind, nodeId: id, node: name, text } });
  switch (state) {
    case 'off':
      await tx.node.update({ where: { id }, data: { wantedState: 'off', generation: { increment: 1 } } });
      // What it tells from now on, it tells after it was switched on again.
      await tx.nodePower.update({ where: { nodeId: id }, data: { inventoryAt: null } });
      await tell('node.powered-off', `${name} is off: ${reason}`);
      return;
    case 'on': {
      const wantedState = row.reopens ? ('active' as const) : ('drained' as const);
      const { count } = await tx.node.updateMany({
        where: { id, wantedState: 'off' },
        data: { wantedState, generation: { increment: 1 } },
      });
      const after =
        count === 0
          ? ''
          : row.reopens
            ? ' and takes new work'
            : '; it takes nothing new until it is restored';
      await tell('node.powered-on', `${name} is on: ${reason}${after}`);
      return;
    }
    case 'failed':
    case 'quarantined':
      await tell(
        state === 'failed' ? 'node.power-failed' : 'node.quarantined',
        state === 'failed'
          ? `${name} could not be switched: ${reason}`
          : `${name} failed to come back again and is left alone until an operator releases it: ${reason}`,
      );
      return;
    default:
      return;
  }
}
