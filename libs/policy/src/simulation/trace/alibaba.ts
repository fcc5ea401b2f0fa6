import { isNumber, type TraceFormat, type TraceJob } from './trace-format.js';

/** Machines of the trace: 96 cores; their memory is not told, taken for 4 GiB a core. */
const MACHINE_CORES = 96;
const MACHINE_MEMORY_MIB = MACHINE_CORES * 4096;
const INSTANCES_MAX = 100_000;
/** Samples are kept as means of this length. */
const SAMPLE_MS = 600_000;
const SAMPLES_MAX = 9 * 144;

/**
 * `batch_instance.csv` of Alibaba's cluster-trace-v2018: instance, task, job, type, status, start and end in seconds,
 * machine, sequence number, their total, CPU average and maximum (1 = a core), memory average and maximum (percent).
 */
export const alibabaBatchInstance: TraceFormat = {
  name: 'alibaba-batch-instance',
  about: "batch_instance.csv of Alibaba's cluster-trace-v2018",
  matches: (fields) => fields.length === 14,
  parser: () => ({
    open: 0,
    row(row): TraceJob | null {
      const fromMs = row.number(5, 'start_time') * 1000;
      const untilMs = row.number(6, 'end_time') * 1000;
      const average = row.numberOrNull(10, 'cpu_avg');
      const most = row.numberOrNull(11, 'cpu_max');
      const memory = row.numberOrNull(13, 'mem_max') ?? row.numberOrNull(12, 'mem_avg');
      // What had not begun or not ended has a time of 0.
      if (
        fromMs === 0 ||
        untilMs <= fromMs ||
        average === null ||
        most === null ||
        memory === null ||
        most === 0
      )
        return null;
      if (memory > 100) throw row.fault('mem_max', `is ${memory} %`);
      return {
        name: `${row.text(2, 'job_name')}/${row.text(0, 'instance_name')}`,
        fromMs,
        untilMs,
        cpuMilli: most * 1000,
        memoryMiB: (memory / 100) * MACHINE_MEMORY_MIB,
        level: Math.min(1, average / most),
      };
    },
    end: () => [],
  }),
};

/**
 * `batch_task.csv` of Alibaba's cluster-trace-v2018: task, instances, job, type, status, start and end in seconds, CPU
 * planned (100 = a core) and memory planned (percent of a machine), both for one instance.
 */
export const alibabaBatchTask: TraceFormat = {
  name: 'alibaba-batch-task',
  about: "batch_task.csv of Alibaba's cluster-trace-v2018",
  matches: (fields) => fields.length === 9 && isNumber(fields[1]) && !isNumber(fields[2]),
  parser: () => ({
    open: 0,
    row(row): TraceJob | null {
      const instances = row.number(1, 'instance_num');
      if (instances > INSTANCES_MAX) throw row.fault('instance_num', `is above ${INSTANCES_MAX}`);
      const fromMs = row.number(5, 'start_time') * 1000;
      const untilMs = row.number(6, 'end_time') * 1000;
      const cpu = row.numberOrNull(7, 'plan_cpu');
      const memory = row.numberOrNull(8, 'plan_mem');
      if (fromMs === 0 || untilMs <= fromMs || instances === 0 || cpu === null || memory === null)
        return null;
      if (memory > 100) throw row.fault('plan_mem', `is ${memory} %`);
      return {
        name: `${row.text(2, 'job_name')}/${row.text(0, 'task_name')}`,
        fromMs,
        untilMs,
        cpuMilli: instances * cpu * 10,
        memoryMiB: instances * (memory / 100) * MACHINE_MEMORY_MIB,
        level: null,
      };
    },
    end: () => [],
  }),
};

/**
 * `machine_usage.csv` of Alibaba's cluster-trace-v2018: machine, time in seconds, CPU and memory in percent, and five
 * more. Each machine becomes a DRVM that wants there what the machine used; the lines of a machine may come in any order.
 */
export const alibabaMachineUsage: TraceFormat = {
  name: 'alibaba-machine-usage',
  about: "machine_usage.csv of Alibaba's cluster-trace-v2018",
  matches: (fields) => fields.length === 9 && isNumber(fields[1]) && isNumber(fields[2]),
  parser() {
    const machines = new Map<
      string,
      { sums: Float32Array; counts: Uint16Array; first: number; last: number; memory: number }
    >();
    return {
      get open() {
        return machines.size;
      },
      row(row): null {
        const name = row.text(0, 'machine_id');
        const slot = Math.floor((row.number(1, 'time_stamp') * 1000) / SAMPLE_MS);
        const cpu = row.numberOrNull(2, 'cpu_util_percent');
        if (slot >= SAMPLES_MAX) throw row.fault('time_stamp', 'is after the nine days of the trace');
        // Values out of 0 to 100 mark what could not be measured.
        if (cpu === null || cpu > 100) return null;
        const machine = machines.get(name) ?? {
          sums: new Float32Array(SAMPLES_MAX),
          counts: new Uint16Array(SAMPLES_MAX),
          first: slot,
          last: slot,
          memory: 0,
        };
        machines.set(name, machine);
        machine.sums[slot] += cpu / 100;
        machine.counts[slot]++;
        machine.first = Math.min(machine.first, slot);
        machine.last = Math.max(machine.last, slot);
        machine.memory = Math.max(machine.memory, row.numberOrNull(3, 'mem_util_percent') ?? 0);
        return null;
      },
      *end() {
        for (const [name, { sums, counts, first, last, memory }] of machines) {
          const levels = new Float32Array(last - first + 1);
          for (let slot = first, before = 0; slot <= last; slot++) {
            // A gap is filled with what was before it.
            if (counts[slot] > 0) before = sums[slot] / counts[slot];
            levels[slot - first] = before;
          }
          const most = levels.reduce((a, b) => Math.max(a, b), 0.01);
          yield {
            name,
            fromMs: first * SAMPLE_MS,
            untilMs: (last + 1) * SAMPLE_MS,
            cpuMilli: most * MACHINE_CORES * 1000,
            memoryMiB: (Math.min(100, memory) / 100) * MACHINE_MEMORY_MIB,
            level: null,
            samples: { everyMs: SAMPLE_MS, levels: levels.map((level) => level / most) },
          };
        }
      },
    };
  },
};
