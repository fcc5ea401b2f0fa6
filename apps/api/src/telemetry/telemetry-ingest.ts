import type { ContainerState, Heartbeat } from '@drvs/contracts';
import { Injectable, Logger } from '@nestjs/common';
import { Database } from '../database/database.js';
import { Recurring } from '../jobs/recurring.js';
import { RecurringService } from '../jobs/recurring-service.js';
import { COLUMNS, type Sample } from './resolutions.js';

const FLUSH_EVERY_MS = 1_000;
/** Subjects are noted as measured, and by their present names, this often. */
const NOTE_SUBJECTS_EVERY_MS = 12 * 3_600_000;
/** Subjects of one process at most; beyond it new ones are not measured. */
const MAX_SUBJECTS = 200_000;
const MIB = 1_048_576;

const INSERT = {
  name: 'telemetry-insert',
  text: `INSERT INTO telemetry_1s (at, subject, ${COLUMNS.join(', ')})
    SELECT date_trunc('second', clock_timestamp()), s.* FROM unnest(
      $1::int[], ${COLUMNS.map((_, index) => `$${index + 2}::real[]`).join(', ')}) AS s`,
};
/** Rows that are there stay; the names are those of the ledger. A DRVM's part is known once it has a slice there. */
const SUBJECTS = {
  name: 'telemetry-subjects',
  text: `WITH asked AS (SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS a (node_id, drvm_id)),
    made AS (
      INSERT INTO telemetry_subject (node_id, drvm_id, tenant_id, node, drvm)
      SELECT a.node_id, a.drvm_id, d.tenant_id, n.name, d.name
      FROM asked a JOIN node n ON n.id = a.node_id LEFT JOIN drvm d ON d.id = a.drvm_id
      WHERE a.drvm_id IS NULL OR d.id IS NOT NULL
      ON CONFLICT (node_id, drvm_id) DO UPDATE SET last_at = now(), node = EXCLUDED.node, drvm = EXCLUDED.drvm
      RETURNING id, node_id, drvm_id
    ) SELECT id, node_id::text, drvm_id::text FROM made`,
};

interface Latest extends Sample {
  nodeId: string;
  drvmId: string | null;
}
interface TrafficReading {
  incarnation: string | undefined;
  bytes: number;
  countedAtMs: number;
  mbps: number;
}
interface CpuReading {
  cpuMs: number;
  at: number;
  milli: number;
}

/**
 * Takes what heartbeats measured, and writes it once a second in one statement for all nodes: no object and no round
 * trip a row. What comes within one second of one subject is one sample, the last. Times are the database's: an agent's
 * clock may be wrong.
 */
@Injectable()
export class TelemetryIngest extends RecurringService {
  readonly #logger = new Logger('Telemetry');
  readonly #subjects = new Map<string, number>();
  readonly #cpu = new Map<string, CpuReading>();
  readonly #traffic = new Map<string, TrafficReading>();
  #latest = new Map<string, Latest>();
  #notedAt = performance.now();
  protected readonly rounds = new Recurring(
    FLUSH_EVERY_MS,
    () => this.flush(),
    ({ message }) => this.#logger.warn(`a second was not written: ${message}`),
  );

  constructor(private readonly database: Database) {
    super();
  }

  take(
    nodeId: string,
    { used, load1 }: Pick<Heartbeat, 'used' | 'load1'>,
    containers: readonly ContainerState[],
    now = performance.now(),
  ): void {
    if (this.#latest.size >= MAX_SUBJECTS) return;
    let processes = 0;
    for (const container of containers) {
      processes += container.processes;
      const key = `${nodeId}/${container.drvmId}`;
      this.#latest.set(key, {
        nodeId,
        drvmId: container.drvmId,
        cpu: this.#cpuMilli(key, container.cpuMs, now),
        memory: container.residentBytes / MIB,
        disk: 0,
        network: this.#mbps(key, container),
        load: 0,
        processes: container.processes,
      });
    }
    this.#latest.set(nodeId, {
      nodeId,
      drvmId: null,
      cpu: used.cpuMilli,
      memory: used.memoryMiB,
      disk: used.diskGiB,
      network: used.networkMbps,
      load: load1,
      processes,
    });
  }

  /** Milli-vCPU since the reading before; a container that was started anew begins at nought. */
  #cpuMilli(key: string, cpuMs: number, now: number): number {
    const before = this.#cpu.get(key);
    if (before && now <= before.at) return before.milli;
    const milli = before && cpuMs >= before.cpuMs ? ((cpuMs - before.cpuMs) / (now - before.at)) * 1_000 : 0;
    this.#cpu.set(key, { cpuMs, at: now, milli });
    return milli;
  }

  /** Mbit/s to and from its peers, between the two last times that its counters were read. */
  #mbps(key: string, { network, incarnation, countedAtMs }: ContainerState): number {
    if (!network || countedAtMs === undefined) return 0;
    const bytes = network.receivedBytes + network.sentBytes;
    const before = this.#traffic.get(key);
    if (before && before.countedAtMs === countedAtMs) return before.mbps;
    const isOfSame = before && before.incarnation === incarnation && before.countedAtMs < countedAtMs;
    const mbps = isOfSame
      ? (Math.max(0, bytes - before.bytes) * 8) / 1_000 / (countedAtMs - before.countedAtMs)
      : 0;
    this.#traffic.set(key, { incarnation, bytes, countedAtMs, mbps });
    return mbps;
  }

  async flush(): Promise<void> {
    const latest = this.#latest;
    if (latest.size === 0) return;
    this.#latest = new Map();
    await this.#know(latest);
    const ids: number[] = [];
    const columns = COLUMNS.map(() => [] as number[]);
    for (const [key, sample] of latest) {
      const id = this.#subjects.get(key);
      if (id === undefined) continue;
      ids.push(id);
      for (const [index, column] of COLUMNS.entries()) columns[index]!.push(sample[column]);
    }
    if (ids.length > 0) await this.database.pool.query({ ...INSERT, values: [ids, ...columns] });
  }

  async #know(latest: ReadonlyMap<string, Latest>): Promise<void> {
    if (performance.now() - this.#notedAt > NOTE_SUBJECTS_EVERY_MS) {
      this.#subjects.clear();
      this.#notedAt = performance.now();
    }
    const unknown = [...latest].filter(([key]) => !this.#subjects.has(key)).map(([, sample]) => sample);
    if (unknown.length === 0) return;
    if (this.#subjects.size + unknown.length > MAX_SUBJECTS) this.#forget();
    const { rows } = await this.database.pool.query<{ id: number; node_id: string; drvm_id: string | null }>({
      ...SUBJECTS,
      values: [unknown.map(({ nodeId }) => nodeId), unknown.map(({ drvmId }) => drvmId)],
    });
    for (const { id, node_id, drvm_id } of rows)
      this.#subjects.set(drvm_id === null ? node_id : `${node_id}/${drvm_id}`, id);
  }

  /** Those that are still measured are known again at once. */
  #forget(): void {
    this.#subjects.clear();
    this.#cpu.clear();
    this.#traffic.clear();
  }
}
