/** What is asked for, as the form has it. */
export interface WishedDrvm {
  name: string;
  tenant: string | null;
  cpu: number;
  memoryMiB: number;
  diskGiB: number;
  /** Null: as the planner sees fit. */
  nodeCount: number | null;
  policy: string;
}

/** The request that the form would make, as a command line of `drvs`. Names are of letters, digits and hyphens. */
export function asCommand({ name, tenant, cpu, memoryMiB, diskGiB, nodeCount, policy }: WishedDrvm): string {
  return [
    `drvs drvm create ${name}`,
    ...(tenant === null ? [] : [`--tenant ${tenant}`]),
    `--cpu ${cpu}`,
    `--memory ${memoryMiB}Mi`,
    ...(diskGiB > 0 ? [`--disk ${diskGiB}Gi`] : []),
    ...(nodeCount === null ? [] : [`--nodes ${nodeCount}`]),
    `--policy ${policy}`,
  ].join(' ');
}

/** The same for REST, by curl. @param origin of the portal, for instance https://drvs.example.org */
export function asRest({ nodeCount, ...wished }: WishedDrvm, origin: string): string {
  const body = JSON.stringify({ ...wished, ...(nodeCount !== null && { nodes: nodeCount }) });
  return [
    `curl -X POST ${origin}/api/v1/drvms \\`,
    '  -H "Authorization: Bearer $DRVS_TOKEN" -H "Content-Type: application/json" \\',
    `  -d '${body}'`,
  ].join('\n');
}

/** The same as a mutation of GraphQL. */
export function asGraphql({ nodeCount, ...wished }: WishedDrvm): string {
  const fields = Object.entries({ ...wished, ...(nodeCount !== null && { nodeCount }) })
    .filter(([, value]) => value !== null)
    .map(([field, value]) => `${field}: ${JSON.stringify(value)}`);
  return `mutation {\n  createDrvm(input: { ${fields.join(', ')} }) {\n    drvm { id }\n    operation { id }\n  }\n}`;
}
