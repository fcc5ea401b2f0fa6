/** Names in the order of a person: node2 before node10. */
export const byName = (a: string, b: string): number => a.localeCompare(b, undefined, { numeric: true });
