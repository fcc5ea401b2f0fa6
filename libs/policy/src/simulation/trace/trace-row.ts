import { DrvsError } from '@drvs/contracts';

/** One line of a trace: fields parted by commas, without quotes, as the public traces have them. */
export class TraceRow {
  constructor(
    readonly line: number,
    readonly fields: readonly string[],
  ) {}

  text(index: number, name: string): string {
    const field = this.fields[index];
    if (field) return field;
    throw this.fault(name, 'is missing');
  }

  /** A finite number that is not negative. */
  number(index: number, name: string): number {
    const field = this.text(index, name);
    const value = Number(field);
    if (Number.isFinite(value) && value >= 0) return value;
    throw this.fault(name, `is ${JSON.stringify(field.slice(0, 40))}, not a number from 0`);
  }

  /** Null when the field is empty, which the traces allow for what was not recorded. */
  numberOrNull(index: number, name: string): number | null {
    return this.fields[index] ? this.number(index, name) : null;
  }

  fault(name: string, what: string): DrvsError {
    return new DrvsError('InvalidInput', `line ${this.line} of the trace: ${name} ${what}`, {
      field: 'trace',
      hint: 'Is the format the right one? Name it with --trace-format, and correct or remove the line.',
      details: { line: this.line, column: name },
    });
  }
}
