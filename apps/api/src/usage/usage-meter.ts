import type { ContainerState } from '@drvs/contracts';
import { Injectable, Logger } from '@nestjs/common';
import { Database } from '../database/database.js';
import { Recurring } from '../jobs/recurring.js';
import { RecurringService } from '../jobs/recurring-service.js';

const FLUSH_EVERY_MS = 10_000;
/** Memory is counted at most this long after its last reading: what an agent that was away held is not known. */
const MEMORY_GAP_MS = 60_000;
const MIB = 1_048_576;

/** Processes of one container whose last readings wait to be written; one that restarts more often than that is ill. */
const PROCESSES_WAITING = 8;

/** Readings of two processes are told apart by their times, which the ledger keeps to the microsecond. */
const APART_MS = 0.01;

interface Reading {
  nodeId: string;
  drvmId: string;
  /** When it came, by this process's own clock. */
  receivedAt: number;
  incarnation: string | null;
  cpuMs: number;
  memoryMiB: number;
  /** Null: not told. */
  readBytes: number | null;
  writtenBytes: number | null;
  ioOperations: number | null;
  receivedBytes: number | null;
  sentBytes: number | null;
}
const OF_PROCESS = ['read_bytes', 'written_bytes', 'io_operations', 'received_bytes', 'sent_bytes'] as const;
const COUNTERS = ['cpu_ms', ...OF_PROCESS] as const;

/** CPU time goes on over restarts where a control group counts it; less than before, it began anew. */
const CPU_USED =
  'CASE WHEN r.cpu_ms >= coalesce(b.cpu_ms, 0) THEN r.cpu_ms - coalesce(b.cpu_ms, 0) ELSE r.cpu_ms END';
/**
 * What a process counts begins with it: of another process all counts, also when it is more than was read of the one
 * before. Where it is not told which process it is, less than before means another one.
 */
const usedOfProcess = (name: string): string => `CASE
  WHEN r.${name} IS NULL THEN 0
  WHEN b.drvm_id IS NULL OR r.incarnation <> coalesce(b.incarnation, '') THEN r.${name}
  WHEN r.incarnation IS NULL AND r.${name} < b.${name} THEN r.${name}
  ELSE greatest(0, r.${name} - b.${name}) END`;

/**
 * What is used is the difference of a counter to what it was when it was read last, which the ledger keeps with the sum
 * and changes with it: no process that dies, and none that takes over, loses or doubles anything. A reading that is older
 * than the last one is passed over: it comes from an API process that the agent has left meanwhile.
 */
const ADD = {
  name: 'usage-add',
  text: `WITH read AS (
      SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::float8[], $4::text[], $5::float8[], $6::float8[], $7::float8[],
        $8::float8[], $9::float8[], $10::float8[], $11::float8[])
        AS r (drvm_id, node_id, at_ms, incarnation, memory_mib, ${COUNTERS.join(', ')})
    ), timed AS (
      SELECT r.*, to_timestamp(at_ms / 1000) AS at FROM read r
    ), used AS (
      SELECT r.drvm_id, r.node_id, r.at, d.tenant_id, t.name AS tenant, d.name AS drvm, n.name AS node,
        coalesce(r.incarnation, b.incarnation) AS incarnation,
        r.memory_mib * least(${MEMORY_GAP_MS}, coalesce(extract(epoch FROM r.at - b.at) * 1000, 0)) AS memory_mib_ms,
        ${CPU_USED} AS cpu_ms, r.cpu_ms AS cpu_ms_now,
        ${OF_PROCESS.map((name) => `${usedOfProcess(name)} AS ${name}, coalesce(r.${name}, b.${name}, 0) AS ${name}_now`).join(', ')}
      FROM timed r JOIN slice s ON s.drvm_id = r.drvm_id AND s.node_id = r.node_id
        JOIN drvm d ON d.id = r.drvm_id JOIN tenant t ON t.id = d.tenant_id JOIN node n ON n.id = r.node_id
        LEFT JOIN usage_counter b ON b.drvm_id = r.drvm_id AND b.node_id = r.node_id
      WHERE b.at IS NULL OR b.at < r.at
    ), counted AS (
      INSERT INTO usage_counter (drvm_id, node_id, at, incarnation, ${COUNTERS.join(', ')})
      SELECT drvm_id, node_id, at, incarnation, ${COUNTERS.map((name) => `${name}_now`).join(', ')} FROM used
      ON CONFLICT (drvm_id, node_id) DO UPDATE SET at = EXCLUDED.at, incarnation = EXCLUDED.incarnation,
        ${COUNTERS.map((name) => `${name} = EXCLUDED.${name}`).join(', ')}
    )
    INSERT INTO usage_measured (drvm_id, node_id, hour, tenant_id, tenant, drvm, node, memory_mib_ms, ${COUNTERS.join(', ')})
    SELECT drvm_id, node_id, date_trunc('hour', now(), 'UTC'), tenant_id, tenant, drvm, node, memory_mib_ms, ${COUNTERS.join(', ')}
    FROM used
    ON CONFLICT (drvm_id, node_id, hour) DO UPDATE SET
      memory_mib_ms = usage_measured.memory_mib_ms + EXCLUDED.memory_mib_ms,
      ${COUNTERS.map((name) => `${name} = usage_measured.${name} + EXCLUDED.${name}`).join(', ')}`,
};
/**
 * Of all API processes one adds at a time: the difference to the last reading is taken from the very last one. Answers
 * the time by the ledger's clock.
 */
const ALONE = `SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS now_ms
  FROM (SELECT pg_advisory_xact_lock(hashtext('drvs.usage')) OFFSET 0) AS lock`;

/** Adds up what containers use, as their agents tell it. */
@Injectable()
export class UsageMeter extends RecurringService {
  readonly #logger = new Logger('Usage');
  #readings = new Map<string, Reading[]>();
  protected readonly rounds = new Recurring(
    FLUSH_EVERY_MS,
    () => this.flush(),
    (error) => this.#failed(error),
  );

  constructor(private readonly database: Database) {
    super();
  }

  override async stop(): Promise<void> {
    await super.stop();
    await this.flush().catch((error: Error) => this.#failed(error));
  }

  take(nodeId: string, containers: readonly ContainerState[], receivedAt = performance.now()): void {
    for (const { drvmId, incarnation, cpuMs, residentBytes, io, network } of containers) {
      this.#keep({
        nodeId,
        drvmId,
        receivedAt,
        incarnation: incarnation ?? null,
        cpuMs,
        memoryMiB: residentBytes / MIB,
        readBytes: io?.readBytes ?? null,
        writtenBytes: io?.writtenBytes ?? null,
        ioOperations: io?.operations ?? null,
        receivedBytes: network?.receivedBytes ?? null,
        sentBytes: network?.sentBytes ?? null,
      });
    }
  }

  /** Of each process of a container its last reading, in the order in which they ran. */
  #keep(reading: Reading): void {
    const key = `${reading.nodeId}/${reading.drvmId}`;
    const before = this.#readings.get(key) ?? [];
    if (before.at(-1)?.incarnation === reading.incarnation) before.pop();
    const receivedAt = Math.max(reading.receivedAt, (before.at(-1)?.receivedAt ?? 0) + APART_MS);
    this.#readings.set(key, [...before, { ...reading, receivedAt }].slice(-PROCESSES_WAITING));
  }

  /** What could not be written waits for the next time. */
  async flush(): Promise<void> {
    const taken = this.#readings;
    if (taken.size === 0) return;
    this.#readings = new Map();
    try {
      await this.#add([...taken.values()]);
    } catch (error) {
      const since = this.#readings;
      this.#readings = taken;
      for (const readings of since.values()) for (const reading of readings) this.#keep(reading);
      throw error;
    }
  }

  #failed({ message }: Error): void {
    this.#logger.warn(`usage is written later: ${message}`);
  }

  async #add(containers: readonly (readonly Reading[])[]): Promise<void> {
    const client = await this.database.pool.connect();
    try {
      await client.query('BEGIN');
      const { rows } = await client.query<{ now_ms: number }>(ALONE);
      const toLedger = rows[0]!.now_ms - performance.now();
      for (let round = 0; ; round++) {
        const readings = containers.flatMap((container) => container[round] ?? []);
        if (readings.length === 0) break;
        await client.query({ ...ADD, values: columnsOf(readings, toLedger) });
      }
      await client.query('COMMIT');
    } catch (error) {
      await client.query('ROLLBACK').catch(() => undefined);
      throw error;
    } finally {
      client.release();
    }
  }
}

/** @param toLedger what is added to a time of this process to have it by the ledger's clock; milliseconds */
function columnsOf(readings: readonly Reading[], toLedger: number): unknown[][] {
  const column = <K extends keyof Reading>(name: K): Reading[K][] => readings.map((reading) => reading[name]);
  return [
    column('drvmId'),
    column('nodeId'),
    column('receivedAt').map((at) => at + toLedger),
    column('incarnation'),
    column('memoryMiB'),
    column('cpuMs'),
    column('readBytes'),
    column('writtenBytes'),
    column('ioOperations'),
    column('receivedBytes'),
    column('sentBytes'),
  ];
}
