/** Columns whose names are not those of the fields in snake case. */
const OTHER_NAMES: Readonly<Record<string, string>> = { 'slice.index': 'slice_index' };

/**
 * Columns of a table under the names of Prisma's fields, for statements written by hand whose rows are to have the shape
 * of Prisma's: `d."tenant_id" AS "tenantId", …`.
 */
export function columnsOf(table: string, alias: string, fields: readonly string[]): string {
  return fields
    .map((field) => {
      const column =
        OTHER_NAMES[`${table}.${field}`] ??
        field.replace(/([MG])iB/g, '$1ib').replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      return `${alias}."${column}" AS "${field}"`;
    })
    .join(', ');
}
