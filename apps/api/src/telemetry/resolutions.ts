/**
 * The resolutions in which telemetry is kept, each made from the finer one before it. What is kept of each is chosen so
 * that a year of 100 nodes with 10 DRVMs on each (1,100 subjects) takes less than 10 GiB, at about 125 bytes a row with
 * its index:
 *
 * | each     | kept     | rows of a subject | rows of 1,100 | GiB |
 * | -------- | -------- | ----------------- | ------------- | --- |
 * | second   | 15 min + | 1,200             | 1.3 million   | 0.2 |
 * | 10 s     | 24 h +   | 9,720             | 10.7 million  | 1.2 |
 * | 5 min    | 60 d +   | 18,720            | 20.6 million  | 2.4 |
 * | hour     | 400 d +  | 10,320            | 11.4 million  | 1.3 |
 *
 * The plus: a cut is dropped as a whole, when all of it has run out.
 */
export interface Resolution {
  name: '1s' | '10s' | '5min' | '1h';
  table: string;
  seconds: number;
  keptSeconds: number;
  /** Length of a cut (a partition), and how many are made ahead. */
  cutSeconds: number;
  cutsAhead: number;
  /** Written to the database's log. */
  logged: boolean;
  /** Samples that come later than this after a step's end are not in it. */
  settleSeconds: number;
}

const MINUTE = 60;
const HOUR = 3_600;
const DAY = 86_400;

const resolution = (
  name: Resolution['name'],
  seconds: number,
  keptSeconds: number,
  cutSeconds: number,
  settleSeconds: number,
): Resolution => ({
  name,
  table: `telemetry_${name}`,
  seconds,
  keptSeconds,
  cutSeconds,
  cutsAhead: 2,
  logged: name !== '1s',
  settleSeconds,
});

/** The finest first. */
export const RESOLUTIONS: readonly Resolution[] = [
  resolution('1s', 1, 15 * MINUTE, 5 * MINUTE, 0),
  resolution('10s', 10, DAY, 3 * HOUR, 3),
  resolution('5min', 5 * MINUTE, 60 * DAY, 5 * DAY, 15),
  resolution('1h', HOUR, 400 * DAY, 30 * DAY, 5 * MINUTE + 20),
];

/** The columns of a sample, in the order of the tables. */
export const COLUMNS = ['cpu', 'memory', 'disk', 'network', 'load', 'processes'] as const;
export type Column = (typeof COLUMNS)[number];
export type Sample = Record<Column, number>;
