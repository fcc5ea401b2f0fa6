import { isNumber, type TraceFormat, type TraceJob } from './trace-format.js';

const TIME = 0;
const JOB = 2;
const TASK = 3;
const EVENT = 5;
const CPU = 9;
const MEMORY = 10;
const SCHEDULE = 1;
const UPDATE_RUNNING = 8;
/** EVICT, FAIL, FINISH, KILL, LOST. */
const ENDS: ReadonlySet<number> = new Set([2, 3, 4, 5, 6]);
const EVENTS_MAX = 8;
/** The time of what happened after the trace's end. */
const AFTER_END = 2 ** 63 - 1;
/** Requests are parts of the largest machine, whose size is not told; taken for that of the largest node here. */
const LARGEST_CPU_MILLI = 32_000;
const LARGEST_MEMORY_MIB = 128 * 1024;

/**
 * `task_events` of Google's cluster-usage trace of 2011 (format and schema, version 2.1): time in microseconds, missing
 * info, job, task index, machine, event, user, class, priority, CPU, memory and disk requested, constraint. A task runs
 * from SCHEDULE to whatever ends it.
 */
export const googleTaskEvents: TraceFormat = {
  name: 'google-task-events',
  about: "task_events of Google's cluster-usage trace of 2011",
  matches: (fields) => fields.length === 13 && isNumber(fields[EVENT]),
  parser() {
    const running = new Map<string, TraceJob>();
    return {
      get open() {
        return running.size;
      },
      row(row): TraceJob | null {
        const microseconds = row.number(TIME, 'timestamp');
        const event = row.number(EVENT, 'event type');
        if (!Number.isInteger(event) || event > EVENTS_MAX)
          throw row.fault('event type', `is ${event}, not 0 to ${EVENTS_MAX}`);
        const name = `${row.text(JOB, 'job ID')}/${row.text(TASK, 'task index')}`;
        const atMs = microseconds / 1000;
        const known = running.get(name);
        if (ENDS.has(event)) {
          running.delete(name);
          if (!known || atMs <= known.fromMs) return null;
          return { ...known, untilMs: microseconds >= AFTER_END ? Number.POSITIVE_INFINITY : atMs };
        }
        if (event !== SCHEDULE && event !== UPDATE_RUNNING) return null;
        const cpu = row.numberOrNull(CPU, 'CPU request');
        const memory = row.numberOrNull(MEMORY, 'memory request');
        if (cpu === null || memory === null) return null;
        if (cpu > 1) throw row.fault('CPU request', `is ${cpu}, more than the largest machine has`);
        if (memory > 1) throw row.fault('memory request', `is ${memory}, more than the largest machine has`);
        running.set(name, {
          name,
          fromMs: known?.fromMs ?? atMs,
          untilMs: Number.POSITIVE_INFINITY,
          cpuMilli: cpu * LARGEST_CPU_MILLI,
          memoryMiB: memory * LARGEST_MEMORY_MIB,
          level: null,
        });
        return null;
      },
      end: () => running.values(),
    };
  },
};
