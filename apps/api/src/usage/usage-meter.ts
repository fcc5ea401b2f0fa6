import type { ContainerState } from '@drvs/contracts';
import {
  type BeforeApplicationShutdown,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { Database } from '../database/database.js';

const FLUSH_EVERY_MS = 10_000;
/** Memory is counted at most this long after its last reading: what an agent that was away held is not known. */
const MEMORY_GAP_MS = 60_000;
const MIB = 1_048_576;

interface Reading {
  nodeId: string;
  drvmId: string;
  cpuMs: number;
  memoryMiB: number;
  readBytes: number;
  writtenBytes: number;
  ioOperations: number;
  receivedBytes: number;
  sentBytes: number;
}
const COUNTERS = [
  'cpu_ms',
  'read_bytes',
  'written_bytes',
  'io_operations',
  'received_bytes',
  'sent_bytes',
] as const;

/**
 * What is used is the difference of a counter to what it was when it was read last, which the ledger keeps with the sum
 * and changes with it: no process that dies, and none that takes over, loses or doubles anything. A counter that is less
 * than before began anew.
 */
const ADD = {
  name: 'usage-add',
  text: `WITH read AS (
      SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::float8[], $4::float8[], $5::float8[], $6::float8[], $7::float8[],
        $8::float8[], $9::float8[]) AS r (drvm_id, node_id, memory_mib, ${COUNTERS.join(', ')})
    ), named AS (
      SELECT r.*, d.tenant_id, t.name AS tenant, d.name AS drvm, n.name AS node
      FROM read r JOIN slice s ON s.drvm_id = r.drvm_id AND s.node_id = r.node_id
        JOIN drvm d ON d.id = r.drvm_id JOIN tenant t ON t.id = d.tenant_id JOIN node n ON n.id = r.node_id
    ), before AS (
      SELECT c.* FROM usage_counter c JOIN named USING (drvm_id, node_id)
    ), counted AS (
      INSERT INTO usage_counter (drvm_id, node_id, at, ${COUNTERS.join(', ')})
      SELECT drvm_id, node_id, clock_timestamp(), ${COUNTERS.join(', ')} FROM named ORDER BY drvm_id, node_id
      ON CONFLICT (drvm_id, node_id) DO UPDATE SET at = EXCLUDED.at,
        ${COUNTERS.map((name) => `${name} = EXCLUDED.${name}`).join(', ')}
    )
    INSERT INTO usage_measured (drvm_id, node_id, hour, tenant_id, tenant, drvm, node, memory_mib_ms, ${COUNTERS.join(', ')})
    SELECT n.drvm_id, n.node_id, date_trunc('hour', now(), 'UTC'), n.tenant_id, n.tenant, n.drvm, n.node,
      n.memory_mib * least(${MEMORY_GAP_MS}, greatest(0, coalesce(extract(epoch FROM now() - b.at) * 1000, 0))),
      ${COUNTERS.map((name) => `CASE WHEN n.${name} >= coalesce(b.${name}, 0) THEN n.${name} - coalesce(b.${name}, 0) ELSE n.${name} END`).join(', ')}
    FROM named n LEFT JOIN before b ON b.drvm_id = n.drvm_id AND b.node_id = n.node_id ORDER BY n.drvm_id, n.node_id
    ON CONFLICT (drvm_id, node_id, hour) DO UPDATE SET
      memory_mib_ms = usage_measured.memory_mib_ms + EXCLUDED.memory_mib_ms,
      ${COUNTERS.map((name) => `${name} = usage_measured.${name} + EXCLUDED.${name}`).join(', ')}`,
};

/** Adds up what containers use, as their agents tell it. */
@Injectable()
export class UsageMeter implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #logger = new Logger('Usage');
  #readings = new Map<string, Reading>();
  #timer: NodeJS.Timeout | null = null;
  #flushing: Promise<void> = Promise.resolve();

  constructor(private readonly database: Database) {}

  onApplicationBootstrap(): void {
    this.#timer = setInterval(() => void this.flush(), FLUSH_EVERY_MS);
  }

  async beforeApplicationShutdown(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    await this.flush();
  }

  take(nodeId: string, containers: readonly ContainerState[]): void {
    for (const { drvmId, cpuMs, residentBytes, io, network } of containers) {
      this.#readings.set(`${nodeId}/${drvmId}`, {
        nodeId,
        drvmId,
        cpuMs,
        memoryMiB: residentBytes / MIB,
        readBytes: io?.readBytes ?? 0,
        writtenBytes: io?.writtenBytes ?? 0,
        ioOperations: io?.operations ?? 0,
        receivedBytes: network?.receivedBytes ?? 0,
        sentBytes: network?.sentBytes ?? 0,
      });
    }
  }

  /** One after another: the same counter is never added twice at once. What could not be written is read again. */
  flush(): Promise<void> {
    this.#flushing = this.#flushing
      .then(() => this.#write())
      .catch((error: unknown) => this.#logger.warn(`usage is written later: ${(error as Error).message}`));
    return this.#flushing;
  }

  async #write(): Promise<void> {
    const readings = [...this.#readings.values()];
    if (readings.length === 0) return;
    this.#readings = new Map();
    const column = <K extends keyof Reading>(name: K): Reading[K][] =>
      readings.map((reading) => reading[name]);
    await this.database.pool.query({
      ...ADD,
      values: [
        column('drvmId'),
        column('nodeId'),
        column('memoryMiB'),
        column('cpuMs'),
        column('readBytes'),
        column('writtenBytes'),
        column('ioOperations'),
        column('receivedBytes'),
        column('sentBytes'),
      ],
    });
  }
}
