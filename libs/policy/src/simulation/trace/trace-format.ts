import type { TraceRow } from './trace-row.js';

/** Something of a trace that ran: a machine, a task, an instance. */
export interface TraceJob {
  name: string;
  /** From the trace's own beginning. */
  fromMs: number;
  /** Infinity: to the end of the trace. */
  untilMs: number;
  /** Requested; in time it uses `levels` of it. */
  cpuMilli: number;
  memoryMiB: number;
  /** What it used as a part of what it requested; null where the trace does not tell. */
  level: number | null;
  /** What it used from sample to sample, for those that are sampled. */
  samples?: { everyMs: number; levels: Float32Array };
}

/** Understands the lines of one kind of trace. It keeps only what it must to the end of what a line began. */
export interface TraceParser {
  /** What this line completes; nothing when it only begins something, or is of no use. */
  row(row: TraceRow): TraceJob | null;
  /** What was still under way when the trace ended. */
  end(): Iterable<TraceJob>;
  /** Things begun and not ended yet: bounded by whoever calls. */
  readonly open: number;
}

export interface TraceFormat {
  name: TraceFormatName;
  about: string;
  /** Whether the fields of the first line are of this kind. */
  matches(fields: readonly string[]): boolean;
  parser(): TraceParser;
}

export type TraceFormatName =
  | 'azure-vmtable'
  | 'google-task-events'
  | 'alibaba-batch-instance'
  | 'alibaba-batch-task'
  | 'alibaba-machine-usage';

export const isNumber = (text: string | undefined): boolean =>
  text !== undefined && text !== '' && Number.isFinite(Number(text));
