import { DrvsError, type Page } from '@drvs/contracts';
import { z } from 'zod';

export const MAX_PAGE = 500;
export const DEFAULT_PAGE = 100;

/** Query of every list. A cursor is what the page before answered; it stays good when rows come and go. */
export const PageQuery = z.object({
  limit: z.coerce.number().int().min(1).max(MAX_PAGE).default(DEFAULT_PAGE),
  cursor: z.string().max(400).optional(),
});
export type PageQuery = z.infer<typeof PageQuery>;

export function encodeCursor(key: string): string {
  return Buffer.from(JSON.stringify([key])).toString('base64url');
}

/** The key after which the page begins; null at the start. */
export function decodeCursor(cursor: string | undefined, key: z.ZodType<string> = z.string()): string | null {
  if (cursor === undefined || cursor === '') return null;
  try {
    return z.tuple([key]).parse(JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')))[0];
  } catch {
    throw new DrvsError('InvalidInput', 'the cursor is not one that this list has given', {
      field: 'cursor',
      hint: 'Use the nextCursor of the page before, or leave it out to begin at the start.',
    });
  }
}

/** `rows` were read with a limit one above the page's, to know whether there is more. */
export function pageOf<Row, View>(
  rows: Row[],
  limit: number,
  keyOf: (row: Row) => string,
  view: (row: Row) => View,
): Page<View> {
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  return {
    items: items.map(view),
    nextCursor: rows.length > limit && last !== undefined ? encodeCursor(keyOf(last)) : null,
  };
}
