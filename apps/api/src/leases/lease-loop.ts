import { DrvsError } from '@drvs/contracts';
import { Injectable, Logger } from '@nestjs/common';
import { SYSTEM } from '../auth/actor.js';
import { Database } from '../database/database.js';
import { DrvmsService } from '../drvms/drvms.service.js';
import { aboutDrvm } from '../events/about-drvm.js';
import { EventsService } from '../events/events.service.js';
import type { Lease, Prisma } from '../gen/client.js';
import { LedgerSession } from '../jobs/ledger-session.js';
import { Recurring } from '../jobs/recurring.js';
import { RecurringService } from '../jobs/recurring-service.js';
import { ResizeService } from '../reconfigure/resize.service.js';
import {
  type DrvmFacts,
  type LeaseClock,
  type LeaseEffect,
  lookAtLease,
  readLeaseClock,
} from './lease-machine.js';
import { shrunkTo } from './shrink.js';

const LOOK_EVERY_MS = 5_000;
const CLOCK_SETTING = 'lease.clock';
/** Idle: what is used is at most this part of what is held, or so little that it is the DVOS's own. */
const IDLE_SHARE = 0.02;
const IDLE_CPU_MILLI = 20;
const LEASES_PER_LOOK = 10_000;

const WITH_DRVM = {
  drvm: {
    include: {
      tenant: { select: { name: true } },
      slices: true,
      operations: {
        where: { state: { in: ['queued', 'running'] as const }, kind: { startsWith: 'drvm.' } },
        select: { id: true },
        take: 1,
      },
    },
  },
} satisfies Prisma.LeaseInclude;
type LeaseRow = Prisma.LeaseGetPayload<{ include: typeof WITH_DRVM }>;

/** Looks at the leases and does what `lookAtLease` says, in one API process at a time, by the database's clock. */
@Injectable()
export class LeaseLoop extends RecurringService {
  readonly #logger = new Logger('Leases');
  protected readonly rounds = new Recurring(
    LOOK_EVERY_MS,
    () => this.look(),
    ({ message }) => this.#logger.warn(message),
  );

  constructor(
    private readonly database: Database,
    private readonly session: LedgerSession,
    private readonly drvms: DrvmsService,
    private readonly resizes: ResizeService,
    private readonly events: EventsService,
  ) {
    super();
  }

  /** @param now the database's time, but in tests */
  async look(now?: Date): Promise<void> {
    if ((await this.database.unrestricted.lease.count()) === 0) return;
    await this.session.alone('leases', async () => {
      const { nowMs, isSure } = await this.#readClock(now);
      const leases = await this.database.unrestricted.lease.findMany({
        include: WITH_DRVM,
        orderBy: { endsAt: 'asc' },
        take: LEASES_PER_LOOK,
      });
      for (const lease of leases) {
        for (const effect of lookAtLease(factsOf(lease), drvmFactsOf(lease), nowMs, isSure)) {
          await this.#carryOut(lease, effect, nowMs).catch((error: unknown) =>
            this.#failed(lease, effect, error),
          );
        }
      }
    });
  }

  async #readClock(given?: Date): Promise<{ nowMs: number; isSure: boolean }> {
    const { unrestricted } = this.database;
    const [row] = given
      ? [{ now: given }]
      : await unrestricted.$queryRaw<{ now: Date }[]>`SELECT clock_timestamp() AS now`;
    const kept = await unrestricted.setting.findUnique({ where: { key: CLOCK_SETTING } });
    const reading = readLeaseClock(
      (kept?.value as unknown as LeaseClock | undefined) ?? null,
      (row?.now ?? new Date()).getTime(),
    );
    const value = { ...reading.clock };
    await unrestricted.setting.upsert({
      where: { key: CLOCK_SETTING },
      create: { key: CLOCK_SETTING, value },
      update: { value },
    });
    return reading;
  }

  async #carryOut(lease: LeaseRow, effect: LeaseEffect, nowMs: number): Promise<void> {
    const { name } = lease.drvm;
    const at = new Date(nowMs);
    switch (effect.do) {
      case 'warn':
        return this.#note(
          lease,
          { warnedSeconds: effect.seconds },
          'lease.ending',
          `the lease of ${name} ends at ${lease.endsAt.toISOString()}; extend it with \`drvs drvm lease ${name} --extend 7d\``,
        );
      case 'end': {
        const until = new Date(nowMs + lease.keepSeconds * 1000).toISOString();
        return this.#note(
          lease,
          { state: 'ended', endedAt: at, generation: { increment: 1 } },
          'lease.ended',
          `the lease of ${name} has ended: it is stopped, and its files are kept until ${until}`,
        );
      }
      case 'stop':
        await this.drvms.stop(SYSTEM, lease.drvmId, null);
        return;
      case 'delete':
        await this.drvms.remove(SYSTEM, lease.drvmId, null);
        return this.#tell(
          lease,
          'lease.files-deleted',
          `the files of ${name} were kept for as long as its lease said, and are deleted`,
        );
      case 'idle-since':
        await this.database.unrestricted.lease.updateMany({
          where: { drvmId: lease.drvmId },
          data: { idleSince: effect.atMs === null ? null : new Date(effect.atMs) },
        });
        return;
      case 'idle':
        return this.#idle(lease, effect.action, at);
    }
  }

  async #idle(lease: LeaseRow, action: 'stop' | 'shrink' | 'notify', at: Date): Promise<void> {
    const { name } = lease.drvm;
    const since = lease.idleSince?.toISOString() ?? 'some time ago';
    const said = `${name} has been idle since ${since}`;
    if (action === 'stop') await this.drvms.stop(SYSTEM, lease.drvmId, null);
    if (action === 'shrink') {
      const target = shrunkTo(lease.drvm.slices);
      if (target !== null) await this.resizes.resize(SYSTEM, lease.drvmId, target, null);
    }
    const done = {
      stop: 'it is stopped',
      shrink: 'it is shrunk to what it needs',
      notify: 'nothing is done about it',
    }[action];
    await this.#note(lease, { idleActedAt: at }, 'lease.idle', `${said}: ${done}`);
  }

  /** The lease's change and its event, in one transaction. */
  async #note(lease: LeaseRow, data: Prisma.LeaseUpdateInput, kind: string, text: string): Promise<void> {
    await this.database.system(async (tx) => {
      const { count } = await tx.lease.updateMany({
        // Extended meanwhile: then nothing of it is true any more, and the next look decides.
        where: { drvmId: lease.drvmId, generation: lease.generation },
        data: data as Prisma.LeaseUpdateManyMutationInput,
      });
      if (count > 0) await this.events.record(tx, { ...aboutDrvm(lease.drvm), kind, text });
    });
  }

  async #tell(lease: LeaseRow, kind: string, text: string): Promise<void> {
    await this.database.system((tx) => this.events.record(tx, { ...aboutDrvm(lease.drvm), kind, text }));
  }

  /** Another operation may have begun in between: the next look does it. */
  #failed(lease: LeaseRow, effect: LeaseEffect, error: unknown): void {
    const { code, message } = DrvsError.from(error);
    if (code === 'OperationUnderWay' || code === 'StateConflict' || code === 'NotFound') return;
    this.#logger.warn(`the lease of ${lease.drvm.name}: ${effect.do}: ${message}`);
  }
}

function factsOf(lease: Lease) {
  return {
    state: lease.state === 'ended' ? ('ended' as const) : ('active' as const),
    endsAtMs: lease.endsAt.getTime(),
    endedAtMs: lease.endedAt?.getTime() ?? null,
    keepMs: lease.keepSeconds * 1000,
    idleAction: lease.idleAction as 'stop' | 'shrink' | 'notify' | null,
    idleAfterMs: lease.idleAfterSeconds === null ? null : lease.idleAfterSeconds * 1000,
    idleSinceMs: lease.idleSince?.getTime() ?? null,
    idleActedAtMs: lease.idleActedAt?.getTime() ?? null,
    warnedSeconds: lease.warnedSeconds,
  };
}

function drvmFactsOf({ drvm }: LeaseRow): DrvmFacts {
  const held = drvm.slices.reduce((sum, { cpuMilli }) => sum + cpuMilli, 0);
  const used = drvm.slices.reduce((sum, { usedCpuMilli }) => sum + usedCpuMilli, 0);
  return {
    isRunning: drvm.wantedState === 'running' && (drvm.state === 'running' || drvm.state === 'degraded'),
    isIdle: used <= Math.max(IDLE_CPU_MILLI * drvm.slices.length, held * IDLE_SHARE),
    isBusy: drvm.operations.length > 0,
  };
}
