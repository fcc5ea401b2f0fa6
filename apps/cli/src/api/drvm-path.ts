/** The path of a DRVM, by its id, its name, or tenant~name. */
export const drvmPath = (name: string): string => `/drvms/${encodeURIComponent(name)}`;
