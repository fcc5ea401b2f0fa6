import { NewDrvm } from '../drvms/drvm-request.js';
import type { CreateDrvmInput } from './object-types.js';
import { withoutNulls } from './people.resolver.js';

/** GraphQL's input as REST's body. */
export function newDrvm(input: CreateDrvmInput): NewDrvm {
  return NewDrvm.parse(requestParts(input));
}

/** Without what was left out, also inside, and with the nodes as REST takes them. */
export function requestParts(input: object): Record<string, unknown> {
  const { nodeCount, nodeNames, ceiling, lease, devices, ...rest } = input as Partial<CreateDrvmInput>;
  return withoutNulls({
    ...rest,
    nodes: nodeNames ?? nodeCount,
    ceiling: ceiling && withoutNulls(ceiling),
    lease: lease && withoutNulls(lease),
    devices: devices?.map(withoutNulls),
  });
}
