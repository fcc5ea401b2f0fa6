import { DrvsError } from '@drvs/contracts';
import { fingerprint, randomFrom } from '../../plan/seed.js';
import { alibabaBatchInstance, alibabaBatchTask, alibabaMachineUsage } from './alibaba.js';
import { azureVmTable } from './azure-vmtable.js';
import { googleTaskEvents } from './google-task-events.js';
import type { TraceFormat, TraceFormatName, TraceJob, TraceParser } from './trace-format.js';
import { TraceRow } from './trace-row.js';

const FORMATS: readonly TraceFormat[] = [
  azureVmTable,
  googleTaskEvents,
  alibabaBatchInstance,
  alibabaBatchTask,
  alibabaMachineUsage,
];
export const TRACE_FORMATS: readonly TraceFormatName[] = FORMATS.map(({ name }) => name);

/** What is kept of a trace at most, under way or within the hours that are simulated: some 200 MiB. */
const JOBS_MAX = 200_000;
const LINE_LENGTH_MAX = 4096;

export interface TraceOptions {
  /** Null: told from the first line. */
  format: TraceFormatName | null;
  /** Hours of the trace that are left out before the day begins. */
  fromHours: number;
  hours: number;
  /** 0 to 1: of many machines' traces a part that a smaller cluster can hold, chosen by the names and the seed. */
  share: number;
  seed: number;
}

export interface Trace {
  format: TraceFormatName;
  lines: number;
  /** Lines that were of no use: incomplete records, events that neither begin nor end anything. */
  unused: number;
  /** In the order in which they come; times from the beginning of the day. */
  jobs: TraceJob[];
}

/**
 * Reads a public cluster trace line by line; only what runs within the hours wanted is kept.
 * @throws DrvsError InvalidInput naming the line, for lines that are malformed and for more than can be kept
 */
export class TraceReader {
  readonly #options: TraceOptions;
  readonly #jobs: TraceJob[] = [];
  #format: TraceFormat | null;
  #parser: TraceParser | null;
  #lines = 0;
  #used = 0;

  constructor(options: TraceOptions) {
    this.#options = options;
    this.#format = options.format === null ? null : formatNamed(options.format);
    this.#parser = this.#format?.parser() ?? null;
  }

  line(text: string): void {
    this.#lines++;
    if (text.length > LINE_LENGTH_MAX)
      throw new TraceRow(this.#lines, []).fault('the line', `is longer than ${LINE_LENGTH_MAX} characters`);
    const trimmed = text.trim();
    if (trimmed === '') return;
    const row = new TraceRow(this.#lines, trimmed.split(','));
    if (this.#lines === 1 && isHeader(row.fields)) return;
    this.#format ??= detect(row);
    this.#parser ??= this.#format.parser();
    const job = this.#parser.row(row);
    if (job) this.#keep(job);
    this.#requireRoom();
  }

  end(): Trace {
    const format = this.#format;
    if (!format || !this.#parser) {
      throw new DrvsError('InvalidInput', 'the trace has no lines', { field: 'trace' });
    }
    for (const job of this.#parser.end()) {
      this.#keep(job);
      this.#requireRoom();
    }
    const jobs = this.#jobs.sort((a, b) => a.fromMs - b.fromMs || (a.name < b.name ? -1 : 1));
    return { format: format.name, lines: this.#lines, unused: this.#lines - this.#used, jobs };
  }

  #keep(job: TraceJob): void {
    this.#used++;
    const { fromHours, hours, share, seed } = this.#options;
    const beginMs = fromHours * 3_600_000;
    if (job.untilMs <= beginMs || job.fromMs >= beginMs + hours * 3_600_000) return;
    if (share < 1 && chanceOf(`${seed}/${job.name}`) >= share) return;
    this.#jobs.push({ ...job, fromMs: job.fromMs - beginMs, untilMs: job.untilMs - beginMs });
  }

  #requireRoom(): void {
    const kept = this.#jobs.length + (this.#parser?.open ?? 0);
    if (kept <= JOBS_MAX) return;
    throw new DrvsError(
      'InvalidInput',
      `line ${this.#lines} of the trace: more than ${JOBS_MAX} jobs would have to be kept at once`,
      { field: 'trace', hint: 'Simulate fewer hours (--hours), or a part of the trace (--trace-share 0.1).' },
    );
  }
}

/** A number in [0, 1), always the same for a text. */
const chanceOf = (text: string): number => randomFrom(Number.parseInt(fingerprint(text).slice(0, 8), 16))();

function formatNamed(name: TraceFormatName): TraceFormat {
  return FORMATS.find((format) => format.name === name) as TraceFormat;
}

function detect(row: TraceRow): TraceFormat {
  const format = FORMATS.find(({ matches }) => matches(row.fields));
  if (format) return format;
  throw new DrvsError(
    'InvalidInput',
    `line ${row.line} of the trace has ${row.fields.length} fields, as no trace known here`,
    {
      field: 'trace',
      hint: `Known are ${FORMATS.map(({ name, about }) => `${name} (${about})`).join('; ')}.`,
      details: { line: row.line, fields: row.fields.length },
    },
  );
}

/** Some copies of the traces begin with the names of their columns. */
const isHeader = (fields: readonly string[]): boolean =>
  fields.every((field) => /^[A-Za-z_][A-Za-z_ ]*$/.test(field));
