import { z } from 'zod';

const UUID = z.regexes.uuid();

/** Things are named in paths by id or by name; which one it is shows in its form. */
export function isId(reference: string): boolean {
  return UUID.test(reference);
}

/** Condition of a Prisma `where` for a row by id or by name. */
export function byReference(reference: string): { id: string } | { name: string } {
  return isId(reference) ? { id: reference } : { name: reference };
}
