import type { PipeTransform } from '@nestjs/common';
import type { z } from 'zod';
import { fromZod } from './problem.filter.js';

/** Parses a body, a query or a parameter at the edge; what does not fit is InvalidInput, with every fault in it. */
export class ZodPipe<T extends z.ZodType> implements PipeTransform<unknown, z.infer<T>> {
  constructor(private readonly schema: T) {}

  transform(value: unknown): z.infer<T> {
    const parsed = this.schema.safeParse(value ?? {});
    if (parsed.success) return parsed.data;
    throw fromZod(parsed.error);
  }
}
