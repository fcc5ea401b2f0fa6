import { describe, expect, it } from '@jest/globals';
import { DEFAULT_POLICY } from '../../planner-policy.js';
import { sampleTrace } from '../../testing/sample-traces.js';
import { simulateDay } from '../day.js';
import { TRACE_FORMATS, type Trace, type TraceOptions, TraceReader } from './trace-reader.js';

const WHOLE: TraceOptions = { format: null, fromHours: 0, hours: 24, share: 1, seed: 1 };

function read(lines: readonly string[], options: Partial<TraceOptions> = {}): Trace {
  const reader = new TraceReader({ ...WHOLE, ...options });
  for (const line of lines) reader.line(line);
  return reader.end();
}

describe('a trace', () => {
  it.each(TRACE_FORMATS)('of the kind %s is told by its first line, and gives jobs', (format) => {
    const trace = read(sampleTrace(format, 3));
    expect(trace.format).toBe(format);
    expect(trace.jobs.length).toBeGreaterThan(10);
    for (const { fromMs, untilMs, cpuMilli, memoryMiB } of trace.jobs) {
      expect(untilMs).toBeGreaterThan(fromMs);
      expect(cpuMilli).toBeGreaterThan(0);
      expect(memoryMiB).toBeGreaterThanOrEqual(0);
    }
    expect(read(sampleTrace(format, 3), { format })).toEqual(trace);
  });

  it('of Azure is a VM a line', () => {
    const { jobs } = read(['x+/=,sub,dep,3600,7200,99.5,25,80,Interactive,4,>64']);
    expect(jobs).toEqual([
      { name: 'x+/=', fromMs: 3_600_000, untilMs: 7_200_000, cpuMilli: 4000, memoryMiB: 65_536, level: 0.25 },
    ]);
  });

  it('of Google is a task from SCHEDULE to its end; one that goes on has none', () => {
    const event = (seconds: number, task: number, kind: number, cpu = '0.125') =>
      `${seconds * 1e6},,7,${task},42,${kind},user,2,9,${cpu},0.25,0.001,0`;
    const { jobs, unused } = read([
      event(600, 0, 0),
      event(601, 0, 1),
      event(602, 1, 1),
      event(603, 2, 1, ''),
      event(700, 0, 4),
    ]);
    expect(jobs).toMatchObject([
      { name: '7/0', fromMs: 601_000, untilMs: 700_000, cpuMilli: 4000, memoryMiB: 32_768 },
      { name: '7/1', fromMs: 602_000, untilMs: Number.POSITIVE_INFINITY },
    ]);
    expect(unused).toBe(3);
  });

  it('of machines by Alibaba is what each used, in means of ten minutes', () => {
    const { jobs } = read([
      'm_1,0,50,30,,,1,1,5',
      'm_1,300,100,30,,,1,1,5',
      'm_1,1200,25,40,,,1,1,5',
      'm_1,1210,101,40,,,1,1,5',
    ]);
    expect(jobs).toHaveLength(1);
    expect(jobs[0]).toMatchObject({ name: 'm_1', fromMs: 0, untilMs: 1_800_000, cpuMilli: 72_000 });
    expect([...(jobs[0]?.samples?.levels ?? [])].map((level) => level.toFixed(2))).toEqual([
      '1.00',
      '1.00',
      '0.33',
    ]);
  });

  it('is cut to the hours wanted, with what ran when they begin', () => {
    const vm = (from: number, until: number) => `v${from},s,d,${from * 3600},${until * 3600},1,1,1,c,1,1`;
    const { jobs } = read([vm(0, 1), vm(1, 5), vm(3, 4), vm(7, 8)], { fromHours: 2, hours: 4 });
    expect(jobs.map(({ name, fromMs }) => [name, fromMs / 3_600_000])).toEqual([
      ['v1', -1],
      ['v3', 1],
    ]);
  });

  it('is taken in part by chance, the same part for the same seed', () => {
    const lines = sampleTrace('azure-vmtable', 5, 400);
    const part = read(lines, { share: 0.25 });
    expect(part.jobs.length).toBeGreaterThan(60);
    expect(part.jobs.length).toBeLessThan(140);
    expect(read(lines, { share: 0.25 })).toEqual(part);
    expect(read(lines, { share: 0.25, seed: 2 }).jobs).not.toEqual(part.jobs);
  });

  it('that is malformed is refused with the line and the column', () => {
    const good = 'x,s,d,0,60,1,1,1,c,1,1';
    expect(() => read([good, 'x,s,d,0,sixty,1,1,1,c,1,1'])).toThrow(
      'line 2 of the trace: vmdeleted is "sixty"',
    );
    expect(() => read([good, 'x,s,d,60,0,1,1,1,c,1,1'])).toThrow(
      'line 2 of the trace: vmdeleted is before vmcreated',
    );
    expect(() => read([good, '', 'x,s,d,0,60,1,-1,1,c,1,1'])).toThrow('line 3 of the trace: avgcpu is "-1"');
    expect(() => read([good, 'x,s,d'])).toThrow('line 2 of the trace: vmcreated');
    expect(() => read(['a,1'])).toThrow('line 1 of the trace has 2 fields');
    expect(() => read([])).toThrow('the trace has no lines');
    expect(() => read([`${'x'.repeat(5000)}`])).toThrow('is longer than 4096 characters');
    const events = '600000000,,7,0,42,9,user,2,9,0.1,0.1,0,0';
    expect(() => read([events])).toThrow('event type is 9');
  });

  it('leaves out a line with the names of the columns', () => {
    expect(read(['vmid,sub,dep,a,b,c,d,e,f,g,h', 'x,s,d,0,60,1,1,1,c,1,1']).jobs).toHaveLength(1);
  });
});

describe('a day after a trace', () => {
  it.each(TRACE_FORMATS)('of the kind %s is the same for the same seed and breaks no invariant', (format) => {
    const trace = read(sampleTrace(format, 3), { hours: 6 });
    const options = {
      nodes: 40,
      hours: 6,
      seed: 3,
      policy: DEFAULT_POLICY,
      trace,
      contenders: ['nothing', 'planned'],
    } as const;
    const report = simulateDay(options);
    expect(simulateDay(options)).toEqual(report);
    expect(report.violations).toEqual([]);
    expect(report.trace).toMatchObject({ format });
    for (const { batches, cpuHours } of report.contenders) {
      expect(batches.placed).toBeGreaterThan(0);
      expect(cpuHours.wanted).toBeGreaterThan(0);
    }
  });
});
